"""The log: structured events on stderr, one per line, as JSON for machines or in colours for a terminal.

The only user of structlog. Warnings and errors that other libraries log through ``logging`` take the same path.
The caller only queues an event; a thread renders and writes it (``log_writer.py``).
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from crosshaul.telemetry.log_lines import LogLine, Render, make_line, renderer
from crosshaul.telemetry.log_writer import DescriptorSink, DirectWriter, LogWriter, StreamSink
from crosshaul.telemetry.logger import Logger
from crosshaul.telemetry.redact import conceal

__all__ = ["conceal", "configure", "dropped", "flush", "get", "writes"]

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "exception": 40, "critical": 50}
_processors: list[Processor] = []


class _Output:
    """The log's present stream and writer."""

    least = 0
    """The number of the lowest level that is written."""
    stream: TextIO | None = None
    writer: LogWriter | DirectWriter | None = None
    dropped_before = 0
    """Lines that former writers dropped."""


def configure(level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:  # noqa: A002 - the configuration's own word
    """Configure the log; may be called again. ``auto`` is ``console`` on a terminal and ``json`` elsewhere."""
    stream = stream or sys.stderr
    console = format == "console" or (format == "auto" and stream.isatty())
    _send_to(stream, renderer(console=console, colours=stream.isatty(), for_journal=_is_journal(stream)))
    # In place, and the level with them: loggers that were bound earlier keep this list, so that a reload reaches them.
    _Output.least = _LEVELS[level]
    _processors[:] = [_drop_lower, structlog.processors.format_exc_info, _to_line]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        logger_factory=_NamedOutput,
        cache_logger_on_first_use=False,
    )
    _redirect_logging()


def get(name: str) -> Logger:
    """Return the logger of a module. May be called before ``configure``."""
    return cast("Logger", structlog.get_logger(name))


def writes(level: Level) -> bool:
    """True if lines of this level are written; callers skip making a line per file that would be dropped."""
    return _LEVELS[level] >= _Output.least


def flush(seconds: float) -> bool:
    """Block until all events are written, at most ``seconds``; return True if they are."""
    return _Output.writer is None or _Output.writer.flush(seconds)


def dropped() -> int:
    """Return how many lines were lost since the start: they were not read in time, or a write failed."""
    return _Output.dropped_before + (_Output.writer.dropped if _Output.writer else 0)


def _send_to(stream: TextIO, render: Render) -> None:
    if _Output.writer is not None and stream is _Output.stream:
        _Output.writer.render = render
        return
    _Output.dropped_before = dropped()
    _Output.stream, _Output.writer = stream, _writer(stream, render)


def _writer(stream: TextIO, render: Render) -> LogWriter | DirectWriter:
    try:
        stream.fileno()
    except (OSError, ValueError):
        return DirectWriter(stream, render)
    sink = DescriptorSink(stream) if isinstance(stream, io.TextIOWrapper) else StreamSink(stream)
    return LogWriter(sink, render)


def _drop_lower(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if _LEVELS[method] < _Output.least:
        raise structlog.DropEvent
    return event


def _to_line(logger: WrappedLogger, method: str, event: EventDict) -> tuple[tuple[LogLine], dict[str, object]]:
    return (make_line(logger.name, method, event),), {}


def _is_journal(stream: TextIO) -> bool:
    """Return whether systemd's journal reads the stream (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


class _NamedOutput:
    """The end of structlog's chain: passes a line to the writer. Has the logger's name."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: LogLine) -> None:
        if _Output.writer is not None:
            _Output.writer.put(line)

    log = debug = info = warning = error = critical = exception = msg


class _LoggingHandler(logging.Handler):
    """Passes records of the standard ``logging`` to the log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))  # libraries invent levels between
        structlog.get_logger(record.name).log(level, record.getMessage(), exc_info=record.exc_info)


def _redirect_logging() -> None:
    """Redirect warnings and errors; at lower levels the AWS libraries log signatures and tokens."""
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.handlers = [_LoggingHandler()]
    logging.captureWarnings(capture=True)
