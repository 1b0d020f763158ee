"""The interface of a logger, for classes that log and for tests that record what they log."""

from __future__ import annotations

from typing import Protocol, Self


class Logger(Protocol):
    """A structured logger: an event's name and its fields. ``telemetry.logs.get`` returns one."""

    def debug(self, event: str, **fields: object) -> object:
        """Log a detail for debugging."""

    def info(self, event: str, **fields: object) -> object:
        """Log a normal event."""

    def warning(self, event: str, **fields: object) -> object:
        """Log an event that a person should look at."""

    def error(self, event: str, **fields: object) -> object:
        """Log an event that a person has to act on."""

    def exception(self, event: str, **fields: object) -> object:
        """Log an error with the traceback of the exception that is being handled."""

    def bind(self, **fields: object) -> Self:
        """Return a logger that adds ``fields`` to each event."""
