"""The last hours in a bounded list of samples: what the status page's charts are drawn from. In memory only."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

INTERVAL: Final = 20.0
"""Seconds between samples."""
_MOST = 540
"""Samples kept: three hours."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals at one moment. ``rate`` is bytes a second since the sample before."""

    at: float
    backlog: int
    oldest: float
    rate: float


class History:
    """Takes a snapshot's totals now and then, and drops the oldest when it is full."""

    def __init__(self, most: int = _MOST) -> None:
        self._samples: deque[Sample] = deque(maxlen=most)
        self._bytes = 0

    def add(self, status: Mapping[str, Any], in_parts: int = 0) -> None:
        """One more sample, from what ``telemetry.status.snapshot`` gives, and from the bytes of unfinished files."""
        at, sent = status["now"], status["delivered_bytes"] + in_parts
        before = self._samples[-1].at if self._samples else at
        # A clock that was set back, or a journal that shrank, gives no rate rather than a wrong one.
        rate = max(0, sent - self._bytes) / (at - before) if at > before else 0.0
        self._bytes = sent
        backlog = status["pending"] + status["uploading"]
        self._samples.append(Sample(at, backlog, status["oldest_pending_seconds"], rate))

    def samples(self) -> list[Sample]:
        """The samples, oldest first."""
        return list(self._samples)
