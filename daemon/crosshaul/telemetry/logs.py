"""The log: structured events, one per line, to stderr; JSON for machines, colours for a terminal.

The only user of structlog. What other libraries say through ``logging`` (warnings and worse) goes the same way.
Logging an event takes it down; a thread renders and writes it (``log_writer.py``).
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from crosshaul.telemetry.log_lines import LogLine, Render, line_of, renderer
from crosshaul.telemetry.log_writer import DescriptorSink, DirectWriter, LogWriter, StreamSink
from crosshaul.telemetry.logger import Logger
from crosshaul.telemetry.redact import conceal

__all__ = ["conceal", "configure", "dropped", "flush", "get"]

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "exception": 40, "critical": 50}
_processors: list[Processor] = []


class _Output:
    """Where the log goes at this moment."""

    stream: TextIO | None = None
    writer: LogWriter | DirectWriter | None = None
    dropped_before = 0
    """What was dropped by writers that are out of use."""


def configure(level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:  # noqa: A002 - the configuration's own word
    """Set the log up; may be called again. ``auto`` is ``console`` on a terminal and ``json`` elsewhere."""
    stream = stream or sys.stderr
    console = format == "console" or (format == "auto" and stream.isatty())
    _send_to(stream, renderer(console=console, colours=stream.isatty(), for_journal=_is_journal(stream)))
    # In place, and the level among them: loggers that were bound earlier keep this list, and a reload reaches them.
    _processors[:] = [_at_least(level), structlog.processors.format_exc_info, _take_down]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        logger_factory=_Named,
        cache_logger_on_first_use=False,
    )
    _take_over_logging()


def get(name: str) -> Logger:
    """Return the logger of a module. May be called before ``configure``."""
    return cast("Logger", structlog.get_logger(name))


def flush(seconds: float) -> bool:
    """Wait until what was logged is written, for so long at the most (blocking); True if it is."""
    return _Output.writer is None or _Output.writer.flush(seconds)


def dropped() -> int:
    """How many lines were lost since the start: nobody read them in time, or they could not be written."""
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


def _at_least(level: Level) -> Processor:
    """Drops what is below ``level``."""
    least = _LEVELS[level]

    def drop(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if _LEVELS[method] < least:
            raise structlog.DropEvent
        return event

    return drop


def _take_down(logger: WrappedLogger, method: str, event: EventDict) -> tuple[tuple[LogLine], dict[str, object]]:
    return (line_of(logger.name, method, event),), {}


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd's journal reads it (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


class _Named:
    """What structlog hands a line to; knows the name of its logger."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: LogLine) -> None:
        if _Output.writer is not None:
            _Output.writer.put(line)

    log = debug = info = warning = error = critical = exception = msg


class _Foreign(logging.Handler):
    """Hands records of the standard ``logging`` to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))  # libraries invent levels between
        structlog.get_logger(record.name).log(level, record.getMessage(), exc_info=record.exc_info)


def _take_over_logging() -> None:
    """Warnings and worse only: at lower levels the AWS libraries write signatures and tokens."""
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.handlers = [_Foreign()]
    logging.captureWarnings(capture=True)
