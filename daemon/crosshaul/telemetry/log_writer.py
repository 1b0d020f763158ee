"""Write the log in its own thread, so that no caller waits for a full pipe or a stopped terminal.

The queue is bounded. Lines without room are dropped and counted; the count is logged when writing succeeds again.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque
from contextlib import suppress
from typing import Protocol, TextIO

from crosshaul.telemetry.log_lines import LogLine, Render, make_line

MAX_LINES = 8192
MAX_BYTES = 8 * 1024 * 1024
_LINES_PER_WRITE = 256
_GATHER_SECONDS = 0.01
"""Seconds that a line waits for others, so that a burst takes one write."""


class Sink(Protocol):
    """The destination of lines. A write blocks while the reader does, and raises OSError or ValueError if it fails."""

    def write(self, text: str) -> None:
        """Write all of the text."""


class DescriptorSink:
    """A duplicate of the stream's descriptor: flushing the stream elsewhere does not wait for a write here."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._descriptor = os.dup(stream.fileno())
        self._encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> None:
        """Write all of the text, also to a descriptor in non-blocking mode."""
        left = memoryview(text.encode(self._encoding, "backslashreplace"))
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])


class StreamSink:
    """A stream that does more than write to a descriptor, such as keeping a progress bar below the lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write all of the text."""
        self._stream.write(text)
        self._stream.flush()


class LogWriter:
    """Takes lines from any thread, and writes them in order in its own thread."""

    def __init__(self, sink: Sink, render: Render) -> None:
        self.render = render
        """Renders the lines that are written from now on."""
        self.dropped = 0
        """Lines lost so far."""
        self._sink = sink
        self._lock = threading.Lock()
        self._lines: deque[tuple[int, LogLine]] = deque()
        self._bytes = 0
        self._unreported = 0
        self._writing = False
        self._wake = threading.Event()
        self._flush_requested = threading.Event()
        self._idle = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def put(self, line: LogLine) -> None:
        """Queue a line; never blocks."""
        size = line.size()
        with self._lock:
            if len(self._lines) >= MAX_LINES or self._bytes + size > MAX_BYTES:
                self.dropped += 1
                self._unreported += 1
                return
            self._lines.append((size, line))
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="crosshaul-log", daemon=True)
                self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, seconds: float) -> bool:
        """Block until all lines are written, at most ``seconds``; return True if they are."""
        self._flush_requested.set()
        try:
            with self._idle:
                return self._idle.wait_for(lambda: not self._lines and not self._writing, seconds)
        finally:
            self._flush_requested.clear()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._flush_requested.wait(_GATHER_SECONDS)
            self._wake.clear()
            while lines := self._take():
                self._write(lines)

    def _take(self) -> list[LogLine]:
        with self._lock:
            taken = [self._lines.popleft() for _ in range(min(_LINES_PER_WRITE, len(self._lines)))]
            self._bytes -= sum(size for size, _ in taken)
            self._writing = bool(taken)
            if not taken:
                self._idle.notify_all()
        return [line for _, line in taken]

    def _write(self, lines: list[LogLine]) -> None:
        with self._lock:
            unreported, self._unreported = self._unreported, 0
        if unreported:
            lines = [_dropped_line(unreported), *lines]
        try:
            self._sink.write("".join(f"{self.render(line)}\n" for line in lines))
        except Exception:  # noqa: BLE001 - no failure to write the log stops the daemon
            with self._lock:
                lost = len(lines) - (1 if unreported else 0)
                self.dropped += lost
                self._unreported += unreported + lost


class DirectWriter:
    """Writes in the caller's thread: for a stream in memory, which never blocks."""

    dropped = 0

    def __init__(self, stream: TextIO, render: Render) -> None:
        self.render = render
        self._stream = stream

    def put(self, line: LogLine) -> None:
        """Write the line; a closed stream is ignored."""
        with suppress(OSError, ValueError):
            self._stream.write(f"{self.render(line)}\n")
            self._stream.flush()

    def flush(self, _seconds: float) -> bool:
        """Return True: no line ever waits."""
        return True


def _dropped_line(count: int) -> LogLine:
    return make_line("log", "warning", {"event": "log_lines_dropped", "lines": count})
