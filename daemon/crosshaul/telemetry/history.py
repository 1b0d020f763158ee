"""The last hours in a bounded list of samples: what the status page's charts are drawn from. In memory only."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

INTERVAL: Final = 20.0
"""Seconds between samples."""
_MINUTE = 3
"""Samples that make one: parts come in gusts, and a rate should not."""
_MOST = 540
"""Samples kept: three hours."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals at one moment. ``rate`` is bytes a second over the last minute."""

    at: float
    backlog: int
    oldest: float
    rate: float
    sent: int = 0
    """Bytes that S3 has confirmed so far."""


class History:
    """Takes a snapshot's totals now and then, and drops the oldest when it is full."""

    def __init__(self, most: int = _MOST) -> None:
        self._samples: deque[Sample] = deque(maxlen=most)

    def add(self, status: Mapping[str, Any], in_parts: int = 0) -> None:
        """One more sample, from what ``telemetry.status.snapshot`` gives, and from the bytes of unfinished files."""
        at, sent = status["now"], status["delivered_bytes"] + in_parts
        backlog = status["pending"] + status["uploading"]
        self._samples.append(Sample(at, backlog, status["oldest_pending_seconds"], self._rate(at, sent), sent))

    def _rate(self, at: float, sent: int) -> float:
        """A clock that was set back, or a journal that shrank, gives no rate rather than a wrong one."""
        before = list(itertools.islice(self._samples, max(0, len(self._samples) - _MINUTE), None))
        if not before or at <= max(each.at for each in before):
            return 0.0
        return max(0, sent - before[0].sent) / (at - before[0].at)

    def samples(self) -> list[Sample]:
        """The samples, oldest first."""
        return list(self._samples)
