"""Which part of the trust between two accounts is wrong, from what a call was answered. Pure.

AWS says why since 2021 ("because no identity-based policy allows ...", "with an explicit deny in a service control
policy"; IAM user guide, "Troubleshoot access denied error messages"), but not for a role in another account, and never
for a wrong external ID; compatible stores never do. What is not said follows from which call failed, and from those
that went well.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from crosshaul.aws.session_policy import objects_of
from crosshaul.config import Destination
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.trust.findings import Advice, Party

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a diagnosis goes by."""

    destination: Destination
    error: Diagnosis
    went_well: Collection[str] = ()
    """Steps that went well before, by name."""
    identity: str | None = None
    """The ARN of Account A's credentials."""


@dataclass(frozen=True, slots=True)
class _Rule:
    cause: str
    party: Party
    do: str


def _says(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_EITHER = "trust policy in B, or STS policy in A"
_EITHER_DIRECT = "bucket policy in B, or identity policy in A"
_SETTINGS = "settings"
_CALLER = _says(r"User: (arn:\S+)")
_OWNER = "owner of the bucket, or role permission"
_FURTHER = _says("sts:(SetSourceIdentity|TagSession)")
_OF_STS = frozenset({"Credentials", "GetCallerIdentity", "AssumeRole"})
_WORDED = _says("not authorized to perform")
_PARTS = frozenset({"UploadPart", "CompleteMultipartUpload"})

# The first that fits. What AWS says itself comes before what has to be concluded.
_CLOCK = "Set this machine's clock (is NTP running?): it is more than 15 minutes off."
_DECRYPT = "Allow the role `kms:Decrypt` on the key, in the key's policy and in its own: parts can't be joined without."
_BY_CODE = {
    "NoCredentials": _Rule("base credentials", Party.A, "Set up Account A's credentials: none are found."),
    "ProfileNotFound": _Rule("profile", Party.CONFIG, "Correct `identity.profile`: there is no such profile."),
    "ExternalId": _Rule("external ID", Party.CONFIG, "Make `external_id_file` readable, with one external ID a line."),
    "ConfusedDeputy": _Rule(
        "trust policy in B",
        Party.B,
        'Add the condition {"StringEquals": {"sts:ExternalId": "<the agreed one>"}} to the statement that lets '
        "{identity} assume {role}.",
    ),
    "ContentMismatch": _Rule("store", Party.B, "See why the bucket gives back other bytes than it was sent."),
    "TLSError": _Rule(
        "TLS",
        Party.HOST,
        "See who answers with this certificate. If it is the endpoint's own, correct it, or trust its authority: "
        "`tls_ca_bundle`, AWS_CA_BUNDLE or the system's store.",
    ),
    "ProxyError": _Rule("proxy", Party.HOST, "Correct HTTPS_PROXY and NO_PROXY: the proxy refuses."),
    "RegionDisabledException": _Rule(
        "STS in the region", Party.CONFIG, "Set `identity.region` to one where STS is active."
    ),
    "AccessControlListNotSupported": _Rule(
        "Object Ownership", Party.CONFIG, "Set `acl: null`: the bucket takes no ACLs."
    ),
    **dict.fromkeys(
        ("SessionPolicy", "MalformedPolicyDocument", "PackedPolicyTooLarge"),
        _Rule("session policy", Party.CONFIG, "Give `session_policy` a readable JSON policy, `auto` or `none`."),
    ),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _Rule("clock", Party.HOST, _CLOCK)),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"),
        _Rule("region", Party.CONFIG, "Set the destination's `region` to the bucket's own."),
    ),
    **dict.fromkeys(
        ("NoSuchBucket", "InvalidBucketName"),
        _Rule("name of the bucket", Party.CONFIG, "Correct `bucket`, or ask Account B's admin for its name."),
    ),
}
_BY_WORDS = (
    (_says(r"signature (expired|not yet current)|is now (earlier|later)"), _Rule("clock", Party.HOST, _CLOCK)),
    (
        _says("service control policy"),
        _Rule("SCP", Party.A, "Ask whoever runs the AWS organization: a service control policy denies the call."),
    ),
    (_says("VPC endpoint policy"), _Rule("VPC endpoint", Party.A, "Allow the call in the VPC endpoint's policy.")),
    (
        _says("permissions boundary"),
        _Rule("permissions boundary", Party.B, "Allow the call in the role's permissions boundary."),
    ),
    (
        _says("no session policy allows|explicit deny in a session policy"),
        _Rule("session policy", Party.CONFIG, "Set `session_policy` to `auto`, or allow the call in its file."),
    ),
    (
        _says("(?s)chain.*duration|duration.*chain|role chaining"),
        _Rule(
            "session duration",
            Party.CONFIG,
            "Lower `duration_seconds` to 3600: Account A's credentials are a role's, and AWS caps those at an hour.",
        ),
    ),
    (
        _says("DurationSeconds|MaxSessionDuration"),
        _Rule(
            "session duration",
            Party.CONFIG,
            "Lower `duration_seconds`, or have Account B raise the role's maximum session duration.",
        ),
    ),
    (
        _says(
            r"(no identity-based policy allows|identity-based policy).*sts:AssumeRole|sts:AssumeRole.*identity-based"
        ),
        _Rule("STS policy in A", Party.A, "Allow `sts:AssumeRole` on {role} in the policy of {identity}."),
    ),
    (
        _says("explicit deny in a resource-based policy"),
        _Rule("bucket policy", Party.B, "Take away what denies it in the bucket policy."),
    ),
    (
        _says(r"no identity-based policy allows the kms:Decrypt"),
        _Rule("role permission", Party.B, "Allow the role `kms:Decrypt` on the key: parts can't be joined without."),
    ),
    (
        _says(r"no identity-based policy allows the kms:"),
        _Rule("role permission", Party.B, "Allow the role `kms:GenerateDataKey` and `kms:Decrypt` on the key."),
    ),
    (
        _says(r"kms:Decrypt"),
        _Rule("KMS key policy", Party.B, _DECRYPT),
    ),
    (
        _says(r"kms"),
        _Rule(
            "KMS key policy",
            Party.B,
            "Allow the role `kms:GenerateDataKey` and `kms:Decrypt` on the key, in the key's policy and in its own.",
        ),
    ),
)
_BASE = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "InvalidToken"), "Renew Account A's credentials: they have expired."
    ),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidSecurity"),
        "Set up Account A's access key anew: it does not exist (any more).",
    ),
    "SignatureDoesNotMatch": "Correct Account A's secret access key.",
}


def advise(evidence: Evidence) -> Advice:
    """The likeliest cause, and who does what."""
    rule = _told(evidence.error) or _concluded(evidence)
    role, identity = str(evidence.destination.role_arn), evidence.identity or "Account A's identity"
    do = rule.do.replace("{role}", role).replace("{identity}", identity)  # no format(): a prefix may hold braces
    letter = _letter(evidence, rule.cause, do) if rule.party is Party.B else ""
    who = evidence.identity or "its identity"
    if rule.cause == _EITHER:
        do += f" First, in Account A: may {who} call sts:AssumeRole on that role? STS answers both alike."
    if rule.cause == _EITHER_DIRECT:
        do += f" First, in Account A: does {who}'s own policy allow it? S3 answers both alike."
    return Advice(rule.cause, rule.party, do, _ruled_out(evidence), letter)


def judged(destination: Destination, error: Diagnosis) -> Diagnosis:
    """What a running daemon met, with the likeliest cause and who mends it as its advice."""
    caller = _CALLER.search(error.message)
    advice = advise(Evidence(destination, error, identity=caller[1] if caller else None))
    if advice.cause == _SETTINGS:
        return error
    return replace(error, advice=f"{advice.cause[:1].upper()}{advice.cause[1:]} ({advice.party}): {advice.do}")


def _told(error: Diagnosis) -> _Rule | None:
    """What the answer says itself, in its code or its words."""
    if error.kind is FaultKind.NETWORK:
        where = "S3" if error.operation not in _OF_STS else "STS"
        return _Rule(
            "endpoint", Party.HOST, f"Make {where} reachable from here: DNS, routes, firewall, proxy, endpoint."
        )
    if error.code.startswith("KMS."):
        return _Rule(
            "KMS key", Party.B, "Give the ARN of a key that is there and enabled (`ssekms_key_id`), or enable it."
        )
    if error.operation == "Credentials" and error.code not in _BY_CODE and error.advice:
        return _Rule("base credentials", Party.A, error.advice.removeprefix(f"{Party.A}: "))
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    worded = next((rule for words, rule in _BY_WORDS if words.search(error.message)), None)
    if worded is None and error.operation in _OF_STS and error.code in _BASE:
        return _Rule("base credentials", Party.A, _BASE[error.code])
    return worded


def _concluded(evidence: Evidence) -> _Rule:
    """Where nothing says why: by the call that was refused."""
    error, to = evidence.error, evidence.destination
    if error.code not in _DENIED:
        return _Rule(_SETTINGS, Party.CONFIG, error.advice or "Hold the message against the destination's settings.")
    if error.operation == "AssumeRole":
        return _of_assume_role(to, error)
    if error.operation in _PARTS:
        return _Rule(
            "KMS key policy", Party.B, f"{_DECRYPT} A small object went through, and only parts need that right."
        )
    right = _right(error.operation, to)
    reading = right == "`s3:GetObject`"
    who = "the role" if to.role_arn else "Account A's identity, in the bucket policy,"
    more = ", and the KMS key's policy `kms:GenerateDataKey`" if to.ssekms_key_id and not reading else ""
    owner = f"; check also that account {to.expected_bucket_owner} owns the bucket"
    owner = owner if to.expected_bucket_owner and not reading else ""
    cause = "role permission" if to.role_arn else _EITHER_DIRECT
    if to.role_arn and owner and not _WORDED.search(error.message):
        cause = _OWNER  # AWS says of a right that is missing which one it is, and nothing of another owner
    return _Rule(cause, Party.B, f"Allow {who} {right} on {objects_of(to)}{more}{owner}.")


def _right(operation: str, to: Destination) -> str:
    if operation in {"GetObject", "HeadObject"}:
        return "`s3:GetObject`"
    return "`s3:PutObject`" + (", `s3:PutObjectTagging`" if to.tags else "") + (", `s3:PutObjectAcl`" if to.acl else "")


def _of_assume_role(to: Destination, error: Diagnosis) -> _Rule:
    """STS answers a missing role, a trust policy that names somebody else and a wrong external ID all the same."""
    further = _FURTHER.search(error.message)
    if further is not None:
        do = f"Allow `{further[0]}` in the trust policy of {{role}}, and in the policy of {{identity}}."
        return _Rule(_EITHER, Party.B, do)
    if not to.external_id and to.external_id_file is None:
        return _Rule(
            "external ID",
            Party.CONFIG,
            "Set `external_id` to what Account B's admin gave you: none is configured, and the trust policy of {role} "
            "should demand one. If there is none, see that the role exists and trusts {identity}.",
        )
    return _Rule(
        _EITHER,
        Party.B,
        "See that {role} exists, that its trust policy names {identity} as principal, and that its condition on "
        "sts:ExternalId is met by the external ID that we agreed on.",
    )


_PROVEN_BY = {
    "identity": ("base credentials",),
    "assume_role": ("STS policy in A", "trust policy in B", "external ID", "session duration", "clock"),
    "upload": ("name of the bucket", "region", "s3:PutObject", "TLS"),
    "download": ("s3:GetObject",),
}


def _ruled_out(evidence: Evidence) -> tuple[str, ...]:
    return tuple(part for step, parts in _PROVEN_BY.items() if step in evidence.went_well for part in parts)


def _letter(evidence: Evidence, cause: str, do: str) -> str:
    """For somebody in another company who has seen none of this."""
    error, to = evidence.error, evidence.destination
    seen = f"{error.operation} on {f'role {to.role_arn}' if error.operation == 'AssumeRole' else f'bucket {to.bucket}'}"
    quoted = f"{error.code}" + (f", HTTP {error.status}" if error.status else "")
    request = f" (request id {error.request_id})" if error.request_id else ""
    return (
        f"We deliver files to your S3 bucket {to.bucket}, and {seen} is refused: {quoted}{request}. The cause "
        f"seems to be the {cause} in your account. Could you please look into it: {do} Our side calls as "
        f"{evidence.identity or 'an identity of Account A'}. IAM changes take up to some minutes to be in force."
    )
