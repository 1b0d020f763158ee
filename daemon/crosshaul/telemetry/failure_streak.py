"""Consecutive failures, logged so that an outage of an hour is a few lines: the first, each doubling, the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crosshaul.telemetry.logger import Logger


class FailureStreak:
    """Counts consecutive failures."""

    def __init__(self) -> None:
        self.length = 0

    def failed(self) -> bool:
        """Count a failure; True if it is to be logged (the 1st, 2nd, 4th, ...)."""
        self.length += 1
        return is_power_of_two(self.length)

    def ended(self) -> int:
        """Count a success; return the number of failures before it."""
        length, self.length = self.length, 0
        return length

    @contextmanager
    def log_outage(self, log: Logger, error_type: type[Exception], *, failed: str, recovered: str) -> Iterator[None]:
        """Catch ``error_type`` in the block and log it as the event ``failed``; log ``recovered`` when it is over."""
        try:
            yield
        except error_type as error:
            if self.failed():
                log.warning(failed, reason=str(error), failures=self.length)
        else:
            if failures := self.ended():
                log.info(recovered, failures=failures)


def is_power_of_two(count: int) -> bool:
    """Return True for 1, 2, 4, 8, ..."""
    return count & (count - 1) == 0
