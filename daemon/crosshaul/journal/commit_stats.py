"""Duration and size of one commit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommitStats:
    """One commit: duration of the whole transaction, and the number of units of work that it made durable."""

    seconds: float
    units: int
