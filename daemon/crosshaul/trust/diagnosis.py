"""Find out which part of the trust between two accounts is wrong, from the error of a call. Pure.

Since 2021 AWS gives the reason ("because no identity-based policy allows ...", "with an explicit deny in a service
control policy"; IAM user guide, "Troubleshoot access denied error messages"), but not for a role in another account,
and never for a wrong external ID. Compatible stores give none. Without a reason, the cause is inferred from the call
that failed and the steps that passed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from crosshaul.aws.session_policy import objects_of
from crosshaul.config import Destination
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.trust.advice_rules import ALLOW_DECRYPT, BY_CODE, BY_CREDENTIAL_CODE, BY_MESSAGE, AdviceRule, pattern
from crosshaul.trust.findings import Advice, Party

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403"})
_EITHER = "trust policy in B, or STS policy in A"
_EITHER_DIRECT = "bucket policy in B, or identity policy in A"
_SETTINGS = "settings"
_CALLER = pattern(r"User: (arn:\S+)")
_OWNER = "owner of the bucket, or role permission"
_SESSION_ATTRIBUTES = pattern("sts:(SetSourceIdentity|TagSession)")
_STS_OPERATIONS = frozenset({"Credentials", "GetCallerIdentity", "AssumeRole"})
_NAMES_PERMISSION = pattern("not authorized to perform")
_PART_OPERATIONS = frozenset({"UploadPart", "CompleteMultipartUpload"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """The input of a diagnosis."""

    destination: Destination
    error: Diagnosis
    passed: Collection[str] = ()
    """The names of the steps that passed before."""
    identity: str | None = None
    """The ARN of Account A's credentials."""


def advise(evidence: Evidence) -> Advice:
    """Return the most likely cause, the party that has to act, and its action."""
    rule = _stated(evidence.error) or _inferred(evidence)
    role, identity = str(evidence.destination.role_arn), evidence.identity or "Account A's identity"
    # Not str.format(), because a prefix may contain braces.
    action = rule.action.replace("{role}", role).replace("{identity}", identity)
    partner_message = _partner_message(evidence, rule.cause, action) if rule.party is Party.B else ""
    if rule.cause == _EITHER:
        action += (
            f" Check first that Account A allows {identity} sts:AssumeRole on that role; STS returns the same error."
        )
    if rule.cause == _EITHER_DIRECT:
        action += f" Check first that Account A's policy of {identity} allows it; S3 returns the same error."
    return Advice(rule.cause, rule.party, action, _ruled_out(evidence), partner_message)


def with_advice(destination: Destination, error: Diagnosis) -> Diagnosis:
    """Return an error of the running daemon with the most likely cause and the party's action as its advice."""
    caller = _CALLER.search(error.message)
    advice = advise(Evidence(destination, error, identity=caller[1] if caller else None))
    if advice.cause == _SETTINGS:
        return error
    return replace(error, advice=f"{advice.cause[:1].upper()}{advice.cause[1:]} ({advice.party}): {advice.action}")


def _stated(error: Diagnosis) -> AdviceRule | None:
    """Find the rule for the error's code or message; None when they give no reason."""
    if error.kind is FaultKind.NETWORK:
        service = "S3" if error.operation not in _STS_OPERATIONS else "STS"
        action = f"Make {service} reachable from this machine; check DNS, routes, firewall, proxy and endpoint."
        return AdviceRule("endpoint", Party.HOST, action)
    if error.code.startswith("KMS."):
        return AdviceRule(
            "KMS key", Party.B, "Set `ssekms_key_id` to the ARN of an existing, enabled key, or enable the key."
        )
    if error.operation == "Credentials" and error.code not in BY_CODE and error.advice:
        return AdviceRule("base credentials", Party.A, error.advice.removeprefix(f"{Party.A}: "))
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    rule = next((rule for message, rule in BY_MESSAGE if message.search(error.message)), None)
    if rule is None and error.operation in _STS_OPERATIONS and error.code in BY_CREDENTIAL_CODE:
        return AdviceRule("base credentials", Party.A, BY_CREDENTIAL_CODE[error.code])
    return rule


def _inferred(evidence: Evidence) -> AdviceRule:
    """Find the rule for the operation that was denied without a reason."""
    error, to = evidence.error, evidence.destination
    if error.code not in _DENIED:
        return AdviceRule(
            _SETTINGS, Party.CONFIG, error.advice or "Compare the message with the settings of the destination."
        )
    if error.operation == "AssumeRole":
        return _assume_role_rule(to, error)
    if error.operation in _PART_OPERATIONS:
        return AdviceRule("KMS key policy", Party.B, f"{ALLOW_DECRYPT} Small objects do not need that permission.")
    right = _right(error.operation, to)
    reads = right == "`s3:GetObject`"
    grantee = "the role" if to.role_arn else "Account A's identity, in the bucket policy,"
    key_right = ", and `kms:GenerateDataKey` in the key policy" if to.ssekms_key_id and not reads else ""
    owner = f"; also check that account {to.expected_bucket_owner} owns the bucket"
    owner = owner if to.expected_bucket_owner and not reads else ""
    cause = "role permission" if to.role_arn else _EITHER_DIRECT
    if to.role_arn and owner and not _NAMES_PERMISSION.search(error.message):
        cause = _OWNER  # AWS names a missing permission, but gives no reason for another owner
    return AdviceRule(cause, Party.B, f"Allow {grantee} {right} on {objects_of(to)}{key_right}{owner}.")


def _right(operation: str, to: Destination) -> str:
    if operation in {"GetObject", "HeadObject"}:
        return "`s3:GetObject`"
    return "`s3:PutObject`" + (", `s3:PutObjectTagging`" if to.tags else "") + (", `s3:PutObjectAcl`" if to.acl else "")


def _assume_role_rule(to: Destination, error: Diagnosis) -> AdviceRule:
    """STS returns the same error for a missing role, another principal and a wrong external ID."""
    attribute = _SESSION_ATTRIBUTES.search(error.message)
    if attribute is not None:
        action = f"Allow `{attribute[0]}` in the trust policy of {{role}}, and in the policy of {{identity}}."
        return AdviceRule(_EITHER, Party.B, action)
    if not to.external_id and to.external_id_file is None:
        return AdviceRule(
            "external ID",
            Party.CONFIG,
            "Set `external_id` to the one that Account B's admin gave you; none is configured, and the trust policy of "
            "{role} should require one. If it requires none, check that the role exists and trusts {identity}.",
        )
    return AdviceRule(
        _EITHER,
        Party.B,
        "Check that {role} exists, that its trust policy has {identity} as principal, and that its condition on "
        "sts:ExternalId has the agreed external ID.",
    )


_RULED_OUT_BY = {
    "identity": ("base credentials",),
    "assume_role": ("STS policy in A", "trust policy in B", "external ID", "session duration", "clock"),
    "upload": ("name of the bucket", "region", "s3:PutObject", "TLS"),
    "download": ("s3:GetObject",),
}


def _ruled_out(evidence: Evidence) -> tuple[str, ...]:
    return tuple(part for step, parts in _RULED_OUT_BY.items() if step in evidence.passed for part in parts)


def _partner_message(evidence: Evidence, cause: str, action: str) -> str:
    """Write to the partner's admin, who has not seen the error."""
    error, to = evidence.error, evidence.destination
    target = f"role {to.role_arn}" if error.operation == "AssumeRole" else f"bucket {to.bucket}"
    response = error.code + (f", HTTP {error.status}" if error.status else "")
    request = f" (request id {error.request_id})" if error.request_id else ""
    return (
        f"We deliver files to your S3 bucket {to.bucket}. Our call {error.operation} on {target} fails: "
        f"{response}{request}. The cause is probably the {cause} in your account. Please do the following: {action} "
        f"Our calls come from {evidence.identity or 'an identity of Account A'}. "
        "Changes in IAM can take a few minutes to become effective."
    )
