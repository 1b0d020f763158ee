"""Failures in a row, told so that an outage of an hour is a few lines: the first, a count at each doubling, the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crosshaul.telemetry.logger import Logger


class FailureStreak:
    """Counts what fails one after the other."""

    def __init__(self) -> None:
        self.length = 0

    def failed(self) -> bool:
        """One more; whether to tell of it."""
        self.length += 1
        return doubles(self.length)

    def ended(self) -> int:
        """Something went well: how many failures that ends."""
        length, self.length = self.length, 0
        return length

    @contextmanager
    def told(self, log: Logger, of: type[Exception], *, failed: str, recovered: str) -> Iterator[None]:
        """What is done in the block may fail with ``of``: that is told, and not raised."""
        try:
            yield
        except of as error:
            if self.failed():
                log.warning(failed, reason=str(error), failures=self.length)
        else:
            if failures := self.ended():
                log.info(recovered, failures=failures)


def doubles(count: int) -> bool:
    """Whether it is the 1st, 2nd, 4th, 8th, ..."""
    return count & (count - 1) == 0
