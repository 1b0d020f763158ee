"""Writes the log in a thread of its own: who logs never waits for a pipe that nobody reads, or a stopped terminal.

What waits is bounded; what finds no room is dropped, counted, and told when the log flows again.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque
from contextlib import suppress
from typing import Protocol, TextIO

from crosshaul.telemetry.log_lines import LogLine, Render, line_of

MOST_LINES = 8192
MOST_BYTES = 8 * 1024 * 1024
_LINES_AT_ONCE = 256
_GATHER_SECONDS = 0.01
"""What a line waits for others: one write, and one turn of this thread, for all of a burst."""


class Sink(Protocol):
    """Where lines go. Blocks for as long as the reader does; raises OSError or ValueError if it can't be written to."""

    def write(self, text: str) -> None:
        """Write all of it."""


class DescriptorSink:
    """A descriptor of our own, so that nobody who flushes the stream waits for what is stuck here."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._descriptor = os.dup(stream.fileno())
        self._encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> None:
        """Write all of it, be the descriptor of the kind that doesn't block."""
        left = memoryview(text.encode(self._encoding, "backslashreplace"))
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])


class StreamSink:
    """A stream that is more than its descriptor, such as one that keeps a progress bar below the lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write all of it."""
        self._stream.write(text)
        self._stream.flush()


class LogWriter:
    """Takes lines from any thread, and writes them in order in its own."""

    def __init__(self, sink: Sink, render: Render) -> None:
        self.render = render
        """How a line looks from now on."""
        self.dropped = 0
        """Lines that were lost so far."""
        self._sink = sink
        self._lock = threading.Lock()
        self._lines: deque[tuple[int, LogLine]] = deque()
        self._bytes = 0
        self._untold = 0
        self._writing = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._idle = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def put(self, line: LogLine) -> None:
        """Have the line written; never blocks."""
        size = line.size()
        with self._lock:
            if len(self._lines) >= MOST_LINES or self._bytes + size > MOST_BYTES:
                self.dropped += 1
                self._untold += 1
                return
            self._lines.append((size, line))
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="crosshaul-log", daemon=True)
                self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, seconds: float) -> bool:
        """Wait until all is written, for so long at the most (blocking); True if it is."""
        self._hurry.set()
        try:
            with self._idle:
                return self._idle.wait_for(lambda: not self._lines and not self._writing, seconds)
        finally:
            self._hurry.clear()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(_GATHER_SECONDS)
            self._wake.clear()
            while lines := self._take():
                self._write(lines)

    def _take(self) -> list[LogLine]:
        with self._lock:
            taken = [self._lines.popleft() for _ in range(min(_LINES_AT_ONCE, len(self._lines)))]
            self._bytes -= sum(size for size, _ in taken)
            self._writing = bool(taken)
            if not taken:
                self._idle.notify_all()
        return [line for _, line in taken]

    def _write(self, lines: list[LogLine]) -> None:
        with self._lock:
            untold, self._untold = self._untold, 0
        if untold:
            lines = [_of_dropped(untold), *lines]
        try:
            self._sink.write("".join(f"{self.render(line)}\n" for line in lines))
        except Exception:  # noqa: BLE001 - a log that can't be written, whatever the reason, stops nothing
            with self._lock:
                lost = len(lines) - (1 if untold else 0)
                self.dropped += lost
                self._untold += untold + lost


class DirectWriter:
    """Writes in the caller's thread: for a stream in memory, which never blocks."""

    dropped = 0

    def __init__(self, stream: TextIO, render: Render) -> None:
        self.render = render
        self._stream = stream

    def put(self, line: LogLine) -> None:
        """Write the line. A stream that is closed stops nothing."""
        with suppress(OSError, ValueError):
            self._stream.write(f"{self.render(line)}\n")
            self._stream.flush()

    def flush(self, _seconds: float) -> bool:
        """Nothing ever waits."""
        return True


def _of_dropped(count: int) -> LogLine:
    return line_of("log", "warning", {"event": "log_lines_dropped", "lines": count})
