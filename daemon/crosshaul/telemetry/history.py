"""The last three hours as samples in memory, for the charts of the status page."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crosshaul.telemetry.status import backlog_of

SAMPLE_SECONDS: Final = 20.0
"""Seconds between samples."""
_SAMPLES_PER_RATE = 3
"""A rate is taken over a minute, since the parts of large files arrive in bursts."""
_MAX_SAMPLES = 540
"""Three hours."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals at one moment. ``rate`` is bytes per second over the last minute."""

    at: float
    backlog: int
    oldest: float
    """Age of the oldest pending file, in seconds."""
    rate: float
    sent: int = 0
    """Bytes that S3 has confirmed so far."""


class History:
    """Keeps the latest samples."""

    def __init__(self, max_samples: int = _MAX_SAMPLES) -> None:
        self._samples: deque[Sample] = deque(maxlen=max_samples)

    def add(self, status: Mapping[str, Any], part_bytes: int = 0) -> None:
        """Add a sample of a ``telemetry.status.snapshot``; ``part_bytes`` are those sent of unfinished files."""
        at, sent = status["now"], status["delivered_bytes"] + part_bytes
        self._samples.append(
            Sample(at, backlog_of(status), status["oldest_pending_seconds"], self._rate(at, sent), sent)
        )

    def _rate(self, at: float, sent: int) -> float:
        """Return bytes per second; 0 where the clock was set back or the journal lost deliveries."""
        latest = list(itertools.islice(self._samples, max(0, len(self._samples) - _SAMPLES_PER_RATE), None))
        if not latest or at <= max(sample.at for sample in latest):
            return 0.0
        return max(0, sent - latest[0].sent) / (at - latest[0].at)

    def samples(self) -> list[Sample]:
        """Return the samples, oldest first."""
        return list(self._samples)
