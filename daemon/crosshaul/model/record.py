"""One file's record in the journal."""

from __future__ import annotations

from dataclasses import dataclass

from crosshaul.errors import Diagnosis
from crosshaul.model.admission import SettleReason
from crosshaul.model.fingerprint import Fingerprint
from crosshaul.model.receipt import Multipart, Receipt
from crosshaul.model.route_target import Place
from crosshaul.model.source_task import AfterAction
from crosshaul.model.state import State


@dataclass(frozen=True, slots=True)
class Record:
    """All that the journal has of one file, as ``list`` and ``explain`` show it. Times: seconds since the epoch."""

    id: int
    route: str
    destination: str
    path: bytes
    fingerprint: Fingerprint
    key: str
    state: State
    generation: int
    attempts: int
    first_seen_at: float
    changed_at: float
    """Time of the last transition."""
    due_at: float
    ambiguous: bool = False
    diagnosis: Diagnosis | None = None
    receipt: Receipt | None = None
    after_due_at: float | None = None
    after_action: AfterAction | None = None
    multipart: Multipart | None = None
    place: Place | None = None
    """Place of its key; None if an older version wrote the record and its destination is no longer configured."""
    plan: int = 0
    settled_by: SettleReason | None = None
    """The reason why this content counted as settled; None if an older version wrote the record."""

    @property
    def sent_bytes(self) -> int:
        """Bytes that S3 has confirmed of an unfinished multipart upload; 0 without one."""
        return self.multipart.sent if self.multipart else 0
