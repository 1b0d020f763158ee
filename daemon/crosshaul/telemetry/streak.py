"""Failures in a row, told so that an outage of an hour is a few lines: the first, a count at each doubling, the end."""

from __future__ import annotations


class Streak:
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


def doubles(count: int) -> bool:
    """Whether it is the 1st, 2nd, 4th, 8th, ..."""
    return count & (count - 1) == 0
