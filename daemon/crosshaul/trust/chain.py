"""Check the chain from Account A's credentials to bytes in Account B's bucket, step by step.

Every check writes the same key under the prefix, because the role may not delete objects. It never replaces an object
that is not a check's, even under that key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from crosshaul.errors import Fault
from crosshaul.trust.findings import Finding, Outcome
from crosshaul.trust.steps.confused_deputy import confused_deputy
from crosshaul.trust.steps.context import CheckContext, Step, failure
from crosshaul.trust.steps.identity import assume_role, identity
from crosshaul.trust.steps.least_privilege import least_privilege
from crosshaul.trust.steps.multipart import multipart
from crosshaul.trust.steps.store_features import store
from crosshaul.trust.steps.upload import download, upload

_STEPS: tuple[tuple[str, Step, tuple[str, ...]], ...] = (
    ("identity", identity, ()),
    ("assume_role", assume_role, ()),
    ("confused_deputy", confused_deputy, ("assume_role",)),
    ("upload", upload, ("assume_role",)),
    ("download", download, ("upload",)),
    ("multipart", multipart, ("upload",)),
    ("store", store, ("upload",)),
    ("least_privilege", least_privilege, ("assume_role",)),
)
"""Name, function and required steps."""


async def check_chain(context: CheckContext) -> AsyncIterator[Finding]:
    """Run the steps and yield their findings; a step is skipped when a step that it needs failed."""
    for name, step, needs in _STEPS:
        missing = [need for need in needs if need not in context.passed]
        if missing:
            yield Finding(name, Outcome.SKIPPED, f"skipped, because {missing[0]} failed")
            continue
        try:
            findings = await step(context)
        except Fault as fault:
            yield failure(name, context, fault.diagnosis)
            continue
        if not any(finding.outcome is Outcome.FAIL for finding in findings):
            context.passed.add(name)
        for finding in findings:
            yield finding
