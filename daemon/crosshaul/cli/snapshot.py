"""The state of everything, gathered from the journal and, where one runs, the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crosshaul.concurrency.clock import SystemClock
from crosshaul.errors import ControlError
from crosshaul.journal.sqlite.connect import obstacle
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.service.control_socket import ask
from crosshaul.telemetry.status import snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crosshaul.config import Config


def gathered(config: Config, reader: Reader | None) -> dict[str, Any]:
    """The snapshot of the journal as ``reader`` (None = there is none yet) has it."""
    return snapshot(
        reader.tallies() if reader else [],
        reader.destinations() if reader else [],
        reader.routes() if reader else [],
        SystemClock().now(),
        daemon_pid=reader.daemon_pid() if reader else None,
        journal_error=obstacle(config.state_dir),
        configured_routes=[route.name for route in config.routes],
        configured_destinations=list(config.destinations),
        paused=paused(config, reader),
    )


def paused(config: Config, reader: Reader | None) -> Sequence[str]:
    """The routes that were paused at run time: only the daemon knows."""
    if reader is None or reader.daemon_pid() is None:
        return ()
    try:
        told: Sequence[str] = ask(config.state_dir, {"do": "show"})["paused"]
    except ControlError:
        return ()  # it is starting or ending: it sends nothing anyway
    return told
