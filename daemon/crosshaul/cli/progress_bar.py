"""The progress bar of `push` and `wait`, on a terminal."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from crosshaul.display import count, printable, size
from crosshaul.model import PushProgress

_REDRAW_SECONDS = 0.1
_CLEAR_TIMEOUT_SECONDS = 2.0
_MIN_BAR_COLUMNS = 70
"""A narrower terminal shows the figures without the bar."""


class ProgressBar:
    """One line with bar, bytes, rate, time left, counts and a file in flight. Removed at the end of the block.

    A thread draws it, so that a terminal that its user has stopped (Ctrl-S) does not stop the command.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._progress = Progress(
            *([BarColumn(bar_width=20)] if console.width >= _MIN_BAR_COLUMNS else []),
            DownloadColumn(binary_units=True, table_column=Column(no_wrap=True)),
            _RateColumn(Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            ),
            console=console,
            transient=True,
            expand=True,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("looking for files", total=None)
        self._latest: PushProgress | None = None
        self._done = threading.Event()
        self._drawing = threading.Thread(target=self._draw, name="crosshaul-bar", daemon=True)
        self._streams = (sys.stdout, sys.stderr)

    def __enter__(self) -> Self:
        self._streams = (sys.stdout, sys.stderr)
        self._progress.start()
        self._drawing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._drawing.join(_CLEAR_TIMEOUT_SECONDS)
        sys.stdout, sys.stderr = self._streams  # as the bar does at its end, unless it is stuck

    def tick(self, progress: PushProgress) -> None:
        """Show the progress soon."""
        self._latest = progress

    def _draw(self) -> None:
        while not self._done.wait(_REDRAW_SECONDS):
            self._update()
            self._progress.refresh()
        self._update()
        self._progress.stop()

    def _update(self) -> None:
        if (progress := self._latest) is not None:
            self._progress.update(
                self._task,
                completed=progress.delivered_bytes,
                total=progress.total_bytes or None,
                description=_description(progress),
            )


class _RateColumn(ProgressColumn):
    """The rate in the binary units of the bytes beside it, unlike rich's own column."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{size(speed)}/s", style="progress.data.speed")


def _description(progress: PushProgress) -> str:
    parts = [f"{progress.delivered:,}/{count(progress.total_files, 'file')}"]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.settling:
        parts.append(f"{progress.settling:,} settling")
    parts += [printable(name) for name in progress.current[:1]]
    return ", ".join(parts)
