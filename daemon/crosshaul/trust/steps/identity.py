"""Steps ``identity`` and ``assume_role``: Account A's credentials, and the role's session."""

from __future__ import annotations

import time

from crosshaul.errors import Fault
from crosshaul.trust.findings import Finding, Outcome
from crosshaul.trust.steps.context import CheckContext

_MAX_CHAINED_SESSION_SECONDS = 3600
_MAX_SKEW_SECONDS = 60.0
_UNKNOWN_OPERATION = frozenset({"MethodNotAllowed", "InvalidAction", "NotImplemented"})
"""Error codes of stores other than AWS for an operation that they do not have."""


async def identity(context: CheckContext) -> list[Finding]:
    """Find out whose credentials Account A uses."""
    try:
        caller = context.caller = await context.base_credentials.caller()
    except Fault as fault:
        if fault.diagnosis.code not in _UNKNOWN_OPERATION:
            raise
        return [Finding("identity", Outcome.WARN, "unknown identity: this STS has no GetCallerIdentity")]
    details = {"account": caller.account, "arn": caller.arn, "source": caller.source}
    findings = [Finding("identity", Outcome.PASS, f"{caller.arn}, from {caller.source}", details=details)]
    if ":user/" in caller.arn:
        message = "long-lived keys of an IAM user; a role (EC2, ECS, IRSA, SSO) needs no keys on the disk"
        findings.append(Finding("identity", Outcome.WARN, message))
    if caller.server_time is not None and abs(skew := time.time() - caller.server_time) > _MAX_SKEW_SECONDS:
        message = f"the clock of this machine is {skew:+.0f} s off; at 15 minutes AWS refuses all requests"
        findings.append(Finding("identity", Outcome.WARN, message, details={"clock_skew_seconds": round(skew)}))
    return findings


async def assume_role(context: CheckContext) -> list[Finding]:
    """Get a session of the role, as the daemon does."""
    destination, refresher = context.destination, context.refresher
    await refresher.credentials()
    if destination.role_arn is None:
        return [Finding("assume_role", Outcome.PASS, "no role: Account A's credentials are used directly")]
    seconds = refresher.expires_in()
    details = {"role_arn": destination.role_arn, "expires_in_seconds": seconds and round(seconds)}
    message = f"{destination.role_arn}, for {seconds or 0:,.0f} s"
    findings = [Finding("assume_role", Outcome.PASS, message, details=details)]
    if refresher.external_id not in {None, "1 of 1"}:
        details["external_id"] = refresher.external_id
        message = f"external ID {refresher.external_id} was accepted; remove the others when all daemons use it"
        findings.append(Finding("assume_role", Outcome.WARN, message))
    chained = context.caller is not None and ":assumed-role/" in context.caller.arn
    if chained and destination.duration_seconds > _MAX_CHAINED_SESSION_SECONDS:
        message = "Account A's identity is a role, so AWS limits sessions to 3600 s; lower `duration_seconds` to 3600"
        findings.append(Finding("assume_role", Outcome.WARN, message))
    return findings
