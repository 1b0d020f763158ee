"""The state that the steps of a check share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from crosshaul.aws.base_credentials import BaseCredentials, CallerIdentity
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.object_headers import CHECK_KEY
from crosshaul.aws.refresher import Refresher
from crosshaul.config import Destination
from crosshaul.errors import Diagnosis
from crosshaul.integrity.verify import UploadResult
from crosshaul.model import ChecksumKind
from crosshaul.trust.diagnosis import Evidence, advise
from crosshaul.trust.findings import Finding, Outcome

CONTENT = b"This is from cross account!"
"""The content of the check's object."""
TOKEN = "check"  # noqa: S105 - metadata of the check's object, no password
DENIED = frozenset({"AccessDenied", "403"})


@dataclass
class CheckContext:
    """The destination under check, the daemon's clients for it, and the results of earlier steps."""

    destination: Destination
    base_credentials: BaseCredentials
    refresher: Refresher
    bucket: Bucket
    open_unrestricted: Callable[[], AbstractAsyncContextManager[Bucket]]
    """Open the bucket with a session that no session policy restricts."""
    test_confused_deputy: bool = True
    """True to call AssumeRole without the right external ID."""
    passed: set[str] = field(default_factory=set)
    """The names of the steps that passed."""
    caller: CallerIdentity | None = None
    upload_result: UploadResult | None = None
    key_number: int = 0
    """The number of the key; above 0 when other objects have the keys before it."""

    @property
    def key(self) -> str:
        """The only key that a check writes."""
        suffix = f"-{self.key_number}" if self.key_number else ""
        return f"{self.destination.key_prefix}{CHECK_KEY}{suffix}"

    @property
    def checksum_kind(self) -> ChecksumKind:
        """The checksum that the store returned for the upload; MD5 when it returned none."""
        checksum = self.upload_result.checksum if self.upload_result else None
        return checksum.kind if checksum else ChecksumKind.MD5


Step = Callable[[CheckContext], Awaitable[list[Finding]]]


def failure(step: str, context: CheckContext, error: Diagnosis) -> Finding:
    """Build the finding of a failed step, with advice."""
    arn = context.caller.arn if context.caller else None
    advice = advise(Evidence(context.destination, error, frozenset(context.passed), arn))
    messages = {"upload": "validated Upload : false", "download": "validated Download : false"}
    return Finding(step, Outcome.FAIL, messages.get(step, error.message), error, advice)
