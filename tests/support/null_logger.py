"""A logger that keeps nothing; tests override the methods that they observe."""

from __future__ import annotations

from typing import Any, Self


class NullLogger:
    """The methods of ``crosshaul.telemetry.logger.Logger``, without an effect."""

    def debug(self, event: str, **fields: Any) -> object:
        """Drop the event."""

    def info(self, event: str, **fields: Any) -> object:
        """Drop the event."""

    def warning(self, event: str, **fields: Any) -> object:
        """Drop the event."""

    def error(self, event: str, **fields: Any) -> object:
        """Drop the event."""

    def exception(self, event: str, **fields: Any) -> object:
        """Drop the event."""

    def bind(self, **fields: Any) -> Self:
        """Return itself."""
        return self
