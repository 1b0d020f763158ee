"""A bar for whoever waits at a terminal; and a terminal that is in order afterwards, however it ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, Protocol

from crosshaul.model import PushProgress

_TERMINATED = 128 + signal.SIGTERM


class ProgressDisplay(Protocol):
    """Who is told how far it is, a few times a second."""

    def tick(self, progress: PushProgress) -> None:
        """Show it."""


@contextmanager
def watching() -> Iterator[ProgressDisplay]:
    """A progress bar on stderr for the block, where that is a terminal."""
    if not sys.stderr.isatty():
        yield _NoDisplay()
        return
    from crosshaul.cli.progress import Bar  # noqa: PLC0415 - off a terminal it goes without rich

    with put_in_order(), Bar() as bar:
        yield bar


@contextmanager
def put_in_order() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does: what it did to the terminal is undone. Code 143."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(_TERMINATED)


class _NoDisplay:
    def tick(self, progress: PushProgress) -> None:
        """Nobody is watching."""
