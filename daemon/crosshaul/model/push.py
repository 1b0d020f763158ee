"""Progress and result of a push."""

from __future__ import annotations

from dataclasses import dataclass

from crosshaul.model.record import Record


@dataclass(frozen=True, slots=True)
class PushProgress:
    """Progress of a push, reported several times a second. Counts are of this push alone."""

    total_files: int
    """Files to send: new or changed, and settled."""
    delivered: int
    failed: int
    delivered_bytes: int
    """Includes the parts that are in the bucket."""
    total_bytes: int
    current: tuple[str, ...] = ()
    """Names of the files that are being sent."""
    settling: int = 0
    """Files that have not settled yet."""


@dataclass(frozen=True, slots=True)
class PushSummary:
    """Result of a push."""

    delivered: int
    unchanged: int
    failed: tuple[Record, ...]
    delivered_bytes: int
    seconds: float
    left_out: tuple[str, ...] = ()
    """Messages about directories that could not be scanned, one line each."""
    staying: tuple[Record, ...] = ()
    """Some of the delivered files whose source was to be deleted or moved, and is still there; each says why."""
