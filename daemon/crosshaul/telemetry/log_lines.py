"""Render log events as JSON or as text for a terminal, without secrets."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import structlog

from crosshaul.display import printable, text
from crosshaul.telemetry.redact import REDACTED, is_secret_name, redact

_FILE_NAME_FIELDS = frozenset({"path", "key", "root", "file", "name", "source", "target"})
_MAX_DEPTH = 6
_IMMUTABLE_TYPES = frozenset({str, bytes, int, float, bool, type(None)})
"""Values of these types are rendered later; others at once, since they may change."""
_LEVELS = {"exception": "error", "warn": "warning"}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_EVENT_BYTES = 512
"""Approximate memory of an event without its texts, in bytes."""

Render = Callable[["LogLine"], str]


class LogLine(NamedTuple):
    """An event as it was logged. Another thread renders it later, so that nothing in it may change."""

    at: float
    level: str
    logger: str
    fields: Mapping[str, Any]

    def size(self) -> int:
        """Return about how many bytes of memory the event takes."""
        return _EVENT_BYTES + sum(len(value) for value in self.fields.values() if type(value) in {str, bytes})


def make_line(logger: str, method: str, fields: Mapping[str, Any]) -> LogLine:
    """Return an event with the current time; values that may change later are rendered at once."""
    for value in fields.values():
        if type(value) not in _IMMUTABLE_TYPES:
            fields = {name: to_json(value, name) for name, value in fields.items()}
            break
    return LogLine(time.time(), _LEVELS.get(method, method), logger, fields)


def renderer(*, console: bool, colours: bool, for_journal: bool) -> Render:
    """Return the function that renders an event; ``for_journal`` adds the level's prefix for systemd's journal."""
    render = _for_terminal(colours=colours) if console else _as_json
    if not for_journal:
        return render
    return lambda line: f"<{_PRIORITIES[line.level]}>{render(line)}"


def _as_json(line: LogLine) -> str:
    return json.dumps(_ordered(line))


def _ordered(line: LogLine) -> dict[str, Any]:
    """Return the event in JSON's types, without secrets, in a fixed order of fields."""
    event: dict[str, Any] = {"timestamp": _timestamp(line.at), "level": line.level, "logger": line.logger, "event": ""}
    for name, value in line.fields.items():
        event[name] = value if value is None or type(value) is int or type(value) is bool else to_json(value, name)
    return event


def _timestamp(at: float) -> str:
    whole = int(at)
    return f"{_second(whole)}.{int((at - whole) * 1_000_000):06d}Z"


_LAST_SECOND = [0, ""]
"""A cache: most events of a burst are of one second. Only the log's thread uses it."""


def _second(at: int) -> str:
    if _LAST_SECOND[0] != at:
        _LAST_SECOND[:] = [at, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))]
    return str(_LAST_SECOND[1])


def to_json(value: object, name: str, depth: int = 0) -> Any:  # noqa: ANN401 - JSON's types
    """Return a value in JSON's types, without secrets. ``name`` is the field's."""
    if value is None or isinstance(value, bool | int):
        return value
    if is_secret_name(name):
        return REDACTED
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return {text(key): to_json(item, str(key), depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _MAX_DEPTH:
        return [to_json(item, name, depth + 1) for item in value]
    return redact(text(value), shapes=name not in _FILE_NAME_FIELDS)


def _for_terminal(*, colours: bool) -> Render:
    console = structlog.dev.ConsoleRenderer(
        colors=colours, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    return lambda line: str(console(None, line.level, _make_printable(_ordered(line))))


def _make_printable(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event such that no value starts a line or moves the cursor; a traceback's lines have a prefix."""
    traceback = event.pop("exception", None)
    shown = {name: _printable(value) for name, value in event.items()}
    if traceback is not None:
        lines = [_printable(line) for line in str(traceback).splitlines()]
        shown["exception"] = "\n".join(f"  | {line}" for line in lines)
    return shown


def _printable(value: object) -> object:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return printable(value) if isinstance(value, str) else value
