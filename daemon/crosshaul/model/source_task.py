"""Delivered files whose source is to be deleted or moved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crosshaul.model.admission import SettleReason
from crosshaul.model.fingerprint import Fingerprint
from crosshaul.model.receipt import Receipt


class AfterAction(StrEnum):
    """Result of deleting or moving a delivered file's source."""

    DONE = "done"
    CHANGED = "changed"
    """The source was no longer the file that was delivered, and was left alone."""
    GONE = "gone"
    KEPT = "kept"
    """The route keeps its sources now."""
    FAILED = "failed"
    """It failed, and is tried again when it is due."""
    WAITING = "waiting"
    """Another route has yet to deliver the file, or a program has it open for writing; checked again when due."""


@dataclass(frozen=True, slots=True)
class AfterTask:
    """A delivered file whose source is due to be deleted or moved."""

    id: int
    generation: int
    route: str
    path: bytes
    fingerprint: Fingerprint
    receipt: Receipt
    key: str
    settled_by: SettleReason | None = None
