"""The log: structured events, one per line, to stderr; JSON for machines, colours for a terminal.

The only user of structlog. What other libraries say through ``logging`` (warnings and worse) goes the same way.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from crosshaul.telemetry.plain import printable, text
from crosshaul.telemetry.redact import REDACTED, conceal, is_secret_name, redact

__all__ = ["Logger", "conceal", "configure", "get"]

Logger = FilteringBoundLogger
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

_FIRST = ("timestamp", "level", "logger", "event")
_OURS = frozenset({"timestamp", "level", "logger"})
_NAMES_OF_FILES = frozenset({"path", "key", "root", "file", "name", "source", "target"})
_DEEPEST = 6
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "exception": 40, "critical": 50}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_processors: list[Processor] = []


def configure(level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:  # noqa: A002 - the configuration's own word
    """Set the log up; may be called again. ``auto`` is ``console`` on a terminal and ``json`` elsewhere."""
    stream = stream or sys.stderr
    console = format == "console" or (format == "auto" and stream.isatty())
    # In place, and the level among them: loggers that were bound earlier keep this list, and a reload reaches them.
    _processors[:] = [
        _at_least(level),
        *_gather(),
        *(_for_terminal(colours=stream.isatty()) if console else (_render_json,)),
        *((_mark_level,) if _is_journal(stream) else ()),
    ]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        logger_factory=_factory(stream),
        cache_logger_on_first_use=False,
    )
    _take_over_logging()


def get(name: str) -> Logger:
    """The logger of a module; may be called before ``configure``."""
    return cast("Logger", structlog.get_logger(name))


def _at_least(level: Level) -> Processor:
    """Drops what is below ``level``."""
    least = _LEVELS[level]

    def drop(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if _LEVELS[method] < least:
            raise structlog.DropEvent
        return event

    return drop


def _gather() -> tuple[Processor, ...]:
    return (
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _make_plain,
    )


def _make_plain(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Everything as JSON's own types, without secrets, in a steady order."""
    plain = {name: value if name in _OURS else _plain(value, name) for name, value in event.items()}
    return {name: plain.pop(name) for name in _FIRST if name in plain} | plain


def _plain(value: object, name: str, depth: int = 0) -> Any:  # noqa: ANN401 - JSON's types
    if value is None or isinstance(value, bool | int):
        return value
    if is_secret_name(name):
        return REDACTED
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {text(key): _plain(item, str(key), depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_plain(item, name, depth + 1) for item in value]
    return redact(text(value), shapes=name not in _NAMES_OF_FILES)


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return json.dumps(event)


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd's journal reads it (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


def _mark_level(_logger: WrappedLogger, method: str, line: str) -> str:
    """The level as the journal takes it for its own field, PRIORITY (sd-daemon(3))."""
    return f"<{_PRIORITIES[method]}>{line}"


def _for_terminal(*, colours: bool) -> tuple[Processor, ...]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colours, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    return _make_printable, renderer


def _make_printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Nothing in a value can begin a line or move the cursor; a traceback's lines are each marked as such."""
    traceback = event.pop("exception", None)
    printable = {name: _printable(value) for name, value in event.items()}
    if traceback is not None:
        lines = [_printable(line) for line in str(traceback).splitlines()]
        printable["exception"] = "\n".join(f"  | {line}" for line in lines)
    return printable


def _printable(value: object) -> object:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return printable(value) if isinstance(value, str) else value


class _Lines:
    """Writes one event with one call. A log that can't be written (full disk, closed pipe) stops no delivery."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self.name = name

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            return

    log = debug = info = warning = error = critical = exception = msg


def _factory(stream: TextIO) -> Callable[..., _Lines]:
    return lambda name="": _Lines(stream, name)


class _Foreign(logging.Handler):
    """Hands records of the standard ``logging`` to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))  # libraries invent levels between
        get(record.name).log(level, record.getMessage(), exc_info=record.exc_info)


def _take_over_logging() -> None:
    """Warnings and worse only: at lower levels the AWS libraries write signatures and tokens."""
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.handlers = [_Foreign()]
    logging.captureWarnings(capture=True)
