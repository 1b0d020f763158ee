"""Files that are claimed for upload, and the outcomes of their uploads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from crosshaul.errors import Diagnosis
from crosshaul.model.fingerprint import Fingerprint
from crosshaul.model.receipt import Multipart, Receipt

LARGE = 256 * 1024
"""Bytes from which a file is large. Small and large files are claimed, and given memory, separately, so that neither
waits for the other kind. The journal's index of due files contains this number."""


class Claim(NamedTuple):
    """A file claimed for upload. Its outcome is stale if the journal has a newer generation by then."""

    id: int
    generation: int
    route: str
    destination: str
    path: bytes
    fingerprint: Fingerprint
    key: str
    attempts: int = 0
    """Failed attempts so far, without those that were the destination's fault."""
    ambiguous: bool = False
    """An earlier attempt may have succeeded although its response was lost: ask S3 before sending again."""
    multipart: Multipart | None = None
    plan: int = 0
    """The number of the plan that gave it its key."""
    previous: Receipt | None = None
    """Receipt of the content that was last delivered under this key of this place; its time is 0."""
    never_settled: bool = False
    """It was queued while it was still changing (``SettleReason.CEILING``)."""
    kept_receipt: Receipt | None = None
    """Receipt of the previous fingerprint, if only the ctime differs and nothing was sent to the key since."""

    @property
    def large(self) -> bool:
        """True for a large file."""
        return self.fingerprint.size >= LARGE


class HeldClaim(NamedTuple):
    """A claim as the journal has it."""

    id: int
    generation: int
    claimed_at: float
    """Seconds since the epoch."""
    route: str
    path: bytes


class Delivered(NamedTuple):
    """Outcome: the file is in the bucket. ``after_due_at``: when the source may be deleted or moved; None = keep."""

    receipt: Receipt
    after_due_at: float | None = None


class Unchanged(NamedTuple):
    """Outcome: nothing was sent, because the file's bytes are those of its kept receipt. It counts as delivered."""

    receipt: Receipt
    after_due_at: float | None = None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Outcome: send the file again at ``due_at``. ``counts``: attempts to add, 0 if the file was not at fault."""

    due_at: float
    diagnosis: Diagnosis
    counts: int = 1
    drop_multipart: bool = False


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Outcome: set the file aside, with the reason. ``counts``: failed attempts to add."""

    diagnosis: Diagnosis
    counts: int = 1


@dataclass(frozen=True, slots=True)
class Release:
    """Outcome: queue the file again as it was (shutdown, parked destination)."""

    due_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Changed:
    """Outcome: the file changed or disappeared since it was queued. Discovery decides which."""


Outcome = Delivered | Unchanged | RetryLater | Quarantine | Release | Changed
