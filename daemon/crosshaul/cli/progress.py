"""Progress of a long command: a bar on a terminal, nothing elsewhere. SIGTERM leaves the terminal in order."""

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
    """Shows the progress, a few times a second."""

    def tick(self, progress: PushProgress) -> None:
        """Show the present progress."""


@contextmanager
def progress_display() -> Iterator[ProgressDisplay]:
    """Show a progress bar on stderr during the block, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield _NoDisplay()
        return
    from crosshaul.cli.progress_bar import ProgressBar  # noqa: PLC0415 - off a terminal rich is not needed

    with terminal_restored(), ProgressBar() as bar:
        yield bar


@contextmanager
def terminal_restored() -> Iterator[None]:
    """Make SIGTERM leave the block by an exception, as Ctrl-C does, so that the terminal is restored. Code 143."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(_TERMINATED)


class _NoDisplay:
    def tick(self, progress: PushProgress) -> None:
        """Show nothing."""
