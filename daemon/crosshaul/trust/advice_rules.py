"""The advice for errors whose code or message gives the reason. Data only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crosshaul.trust.findings import Party


@dataclass(frozen=True, slots=True)
class AdviceRule:
    """A cause, the party that has to act, and its action; ``{role}`` and ``{identity}`` are replaced."""

    cause: str
    party: Party
    action: str


def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern that ignores case."""
    return re.compile(text, re.IGNORECASE)


# The first rule that matches is used. Reasons that AWS gives come before inferred ones.
_CLOCK = "Set the clock of this machine, which is more than 15 minutes off, and check NTP."
ALLOW_DECRYPT = (
    "Allow the role `kms:Decrypt` on the key, in the key policy and in the role policy; multipart uploads need it."
)
BY_CODE = {
    "NoCredentials": AdviceRule("base credentials", Party.A, "Configure Account A's credentials; none were found."),
    "ProfileNotFound": AdviceRule("profile", Party.CONFIG, "Correct `identity.profile`; that profile does not exist."),
    "ExternalId": AdviceRule(
        "external ID", Party.CONFIG, "Make `external_id_file` readable, with one external ID per line."
    ),
    "ConfusedDeputy": AdviceRule(
        "trust policy in B",
        Party.B,
        'Add the condition {"StringEquals": {"sts:ExternalId": "<the agreed external ID>"}} to the statement that '
        "allows {identity} to assume {role}.",
    ),
    "ContentMismatch": AdviceRule("store", Party.B, "Find out why the bucket returns other bytes than were uploaded."),
    "TLSError": AdviceRule(
        "TLS",
        Party.HOST,
        "Find out which host sent this certificate. If it is the endpoint, fix its certificate, or trust its authority "
        "by `tls_ca_bundle`, AWS_CA_BUNDLE or the system's store.",
    ),
    "ProxyError": AdviceRule(
        "proxy", Party.HOST, "Correct HTTPS_PROXY and NO_PROXY, or the proxy; it refuses the connection."
    ),
    "RegionDisabledException": AdviceRule(
        "STS in the region", Party.CONFIG, "Set `identity.region` to a region where STS is active."
    ),
    "AccessControlListNotSupported": AdviceRule(
        "Object Ownership", Party.CONFIG, "Set `acl: null`; the bucket does not accept ACLs."
    ),
    **dict.fromkeys(
        ("SessionPolicy", "MalformedPolicyDocument", "PackedPolicyTooLarge"),
        AdviceRule("session policy", Party.CONFIG, "Set `session_policy` to a readable JSON policy, `auto` or `none`."),
    ),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), AdviceRule("clock", Party.HOST, _CLOCK)),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"),
        AdviceRule("region", Party.CONFIG, "Set the `region` of the destination to the region of the bucket."),
    ),
    **dict.fromkeys(
        ("NoSuchBucket", "InvalidBucketName"),
        AdviceRule("name of the bucket", Party.CONFIG, "Correct `bucket`; ask Account B's admin for the name."),
    ),
}
BY_MESSAGE = (
    (pattern(r"signature (expired|not yet current)|is now (earlier|later)"), AdviceRule("clock", Party.HOST, _CLOCK)),
    (
        pattern("service control policy"),
        AdviceRule(
            "SCP", Party.A, "Ask the administrator of the AWS organization; a service control policy denies the call."
        ),
    ),
    (
        pattern("VPC endpoint policy"),
        AdviceRule("VPC endpoint", Party.A, "Allow the call in the policy of the VPC endpoint."),
    ),
    (
        pattern("permissions boundary"),
        AdviceRule("permissions boundary", Party.B, "Allow the call in the role's permissions boundary."),
    ),
    (
        pattern("no session policy allows|explicit deny in a session policy"),
        AdviceRule(
            "session policy", Party.CONFIG, "Set `session_policy` to `auto`, or allow the call in the policy file."
        ),
    ),
    (
        pattern("(?s)chain.*duration|duration.*chain|role chaining"),
        AdviceRule(
            "session duration",
            Party.CONFIG,
            "Lower `duration_seconds` to 3600, the limit of AWS when Account A's credentials come from a role.",
        ),
    ),
    (
        pattern("DurationSeconds|MaxSessionDuration"),
        AdviceRule(
            "session duration",
            Party.CONFIG,
            "Lower `duration_seconds`, or ask Account B to raise the maximum session duration of the role.",
        ),
    ),
    (
        pattern(
            r"(no identity-based policy allows|identity-based policy).*sts:AssumeRole|sts:AssumeRole.*identity-based"
        ),
        AdviceRule("STS policy in A", Party.A, "Allow `sts:AssumeRole` on {role} in the policy of {identity}."),
    ),
    (
        pattern("explicit deny in a resource-based policy"),
        AdviceRule("bucket policy", Party.B, "Remove the statement that denies the call from the bucket policy."),
    ),
    (
        pattern(r"no identity-based policy allows the kms:Decrypt"),
        AdviceRule("role permission", Party.B, "Allow the role `kms:Decrypt` on the key; multipart uploads need it."),
    ),
    (
        pattern(r"no identity-based policy allows the kms:"),
        AdviceRule("role permission", Party.B, "Allow the role `kms:GenerateDataKey` and `kms:Decrypt` on the key."),
    ),
    (
        pattern(r"kms:Decrypt"),
        AdviceRule("KMS key policy", Party.B, ALLOW_DECRYPT),
    ),
    (
        pattern(r"kms"),
        AdviceRule(
            "KMS key policy",
            Party.B,
            "Allow the role `kms:GenerateDataKey` and `kms:Decrypt` on the key, in key policy and role policy.",
        ),
    ),
)
BY_CREDENTIAL_CODE = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "InvalidToken"), "Renew Account A's credentials; they have expired."
    ),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidSecurity"),
        "Configure another access key of Account A; this one does not exist.",
    ),
    "SignatureDoesNotMatch": "Correct Account A's secret access key.",
}
