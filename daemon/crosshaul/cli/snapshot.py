"""The status of everything, from the journal and, where one runs, the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crosshaul.concurrency.clock import SystemClock
from crosshaul.errors import ControlError
from crosshaul.journal import Reader
from crosshaul.journal.state_dir import obstacle
from crosshaul.service.control_socket import send_request
from crosshaul.telemetry.status import snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crosshaul.config import Config


def read_status(config: Config, reader: Reader | None) -> dict[str, Any]:
    """Return the present ``telemetry.status.snapshot``; ``reader`` None = there is no journal yet."""
    return snapshot(
        reader.route_counts() if reader else [],
        reader.destinations() if reader else [],
        reader.routes() if reader else [],
        SystemClock().now(),
        daemon_pid=reader.daemon_pid() if reader else None,
        journal_error=obstacle(config.state_dir),
        configured_routes=[route.name for route in config.routes],
        configured_destinations=list(config.destinations),
        paused=paused_routes(config, reader),
    )


def paused_routes(config: Config, reader: Reader | None) -> Sequence[str]:
    """Ask the daemon which routes are paused; empty if none runs."""
    if reader is None or reader.daemon_pid() is None:
        return ()
    try:
        paused: Sequence[str] = send_request(config.state_dir, {"do": "show"})["paused"]
    except ControlError:
        return ()  # the daemon is starting or ending
    return paused
