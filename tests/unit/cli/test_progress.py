"""The progress bar on a terminal that its user has stopped."""

from __future__ import annotations

import io
import os
import pty
import sys
import time

import pytest
from rich.console import Console

from crosshaul.cli import progress_bar
from crosshaul.cli.progress_bar import ProgressBar
from crosshaul.model import PushProgress


def far(delivered: int) -> PushProgress:
    return PushProgress(
        total_files=1000,
        delivered=delivered,
        failed=0,
        delivered_bytes=delivered,
        total_bytes=1000,
        current=("x" * 50,),
    )


@pytest.mark.timeout(120)
def test_a_stopped_terminal_blocks_nothing(monkeypatch: pytest.MonkeyPatch):
    """On a stopped terminal ticks and the end of the block return at once, and stderr is restored."""
    monkeypatch.setattr(progress_bar, "_REDRAW_SECONDS", 0.001)
    monkeypatch.setattr(progress_bar, "_CLEAR_TIMEOUT_SECONDS", 0.1)
    reading, writing = pty.openpty()
    before = sys.stderr
    with os.fdopen(writing, "w") as terminal:
        bar = ProgressBar(Console(file=terminal, force_terminal=True, width=100))
        try:
            with bar:
                while bar._drawing.is_alive() and not stuck(bar):
                    bar.tick(far(int(time.monotonic() * 1000) % 1000))
                began = time.monotonic()
                for number in range(1000):
                    bar.tick(far(number))
                assert time.monotonic() - began < 30
            assert sys.stderr is before
        finally:
            drained(reading, bar)


def stuck(bar: ProgressBar) -> bool:
    """Return whether the drawing thread waits for the terminal."""
    for _ in range(20):
        if bar._progress.live._lock.acquire(blocking=False):
            bar._progress.live._lock.release()
            return False
        time.sleep(0.01)
    return True


def drained(reading: int, bar: ProgressBar) -> None:
    """Read the terminal's output until the drawing thread has ended."""
    while bar._drawing.is_alive():
        os.read(reading, 65536)
        bar._drawing.join(0.01)
    os.close(reading)


def test_the_last_state_is_drawn():
    """The last progress is drawn before the block ends, however short the block was."""
    out = io.StringIO()
    with ProgressBar(Console(file=out, force_terminal=True, width=100)) as bar:
        bar.tick(far(1000))
    assert "1,000/1,000" in out.getvalue()
