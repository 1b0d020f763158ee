"""Step ``confused_deputy``: the role must refuse callers without the right external ID."""

from __future__ import annotations

import asyncio
import secrets

from crosshaul.aws.refresher import parameters
from crosshaul.aws.session_policy import session_policies
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.trust.findings import Finding, Outcome
from crosshaul.trust.steps.context import DENIED, CheckContext, failure

_STEP = "confused_deputy"


async def confused_deputy(context: CheckContext) -> list[Finding]:
    """Call AssumeRole without an external ID and with a made-up one: each call must be refused."""
    destination = context.destination
    if destination.role_arn is None or not context.test_confused_deputy:
        return [Finding(_STEP, Outcome.SKIPPED, "disabled" if destination.role_arn else "there is no role")]
    if not await asyncio.to_thread(destination.external_ids):
        message = "no external ID is configured and the role requires none; agree on one, and require it"
        return [_unprotected(context, message)]
    return [
        await _assume_role(context, None, "without an external ID"),
        await _assume_role(context, secrets.token_hex(16), "with a made-up external ID"),
    ]


async def _assume_role(context: CheckContext, external_id: str | None, how: str) -> Finding:
    policies = await asyncio.to_thread(session_policies, context.destination)
    try:
        # The credentials of a successful call are dropped unread.
        await context.base_credentials.assume_role(parameters(context.destination, external_id, policies[-1]))
    except Fault as fault:
        if fault.diagnosis.code in DENIED:
            return Finding(_STEP, Outcome.PASS, f"{how} the role refuses access, as it should")
        return failure(_STEP, context, fault.diagnosis)  # any other error proves nothing
    return _unprotected(context, f"{how} the role grants access, so that a third party could misuse Account A's access")


def _unprotected(context: CheckContext, message: str) -> Finding:
    error = Diagnosis(FaultKind.DESTINATION, "ConfusedDeputy", message, "AssumeRole", status=200)
    return failure(_STEP, context, error)
