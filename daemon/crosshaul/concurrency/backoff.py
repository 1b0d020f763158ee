"""Exponential back-off with full jitter. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """A bound in seconds that doubles with each failure, from ``initial`` to ``max``."""

    initial: float = 1.0
    max: float = 300.0

    def delay(self, failures: int, jitter: float) -> float:
        """Return seconds to wait: a share of the bound, ``jitter`` in [0, 1).

        Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
        """
        ceiling = min(self.max, self.initial * 2.0 ** min(failures, 60))
        return ceiling * jitter
