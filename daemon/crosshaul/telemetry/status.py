"""The daemon's status as one dictionary: what ``status --json`` prints and ``/status.json`` answers. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from crosshaul.model import DestinationState, DestinationStatus, RouteCounts, RouteStatus, State


def snapshot(
    counts: Sequence[RouteCounts],
    destinations: Sequence[DestinationStatus],
    routes: Sequence[RouteStatus],
    now: float,
    *,
    daemon_pid: int | None,
    journal_error: str | None = None,
    configured_routes: Iterable[str] = (),
    configured_destinations: Iterable[str] = (),
    paused: Collection[str] = (),
) -> dict[str, Any]:
    """Return the status at ``now`` (Unix time), in JSON's types.

    What is configured but not in the journal yet is ``starting`` or ``off``. ``daemon_pid`` None = not running.
    ``journal_error`` says why the journal can't be written. ``paused`` are the routes that an operator paused.
    """
    route_status = {status.name: status for status in routes}
    route_counts = {route.route: route for route in counts}
    route_names = dict.fromkeys([*configured_routes, *route_status, *route_counts])
    destination_status = dict.fromkeys(configured_destinations) | {status.name: status for status in destinations}
    return {
        "daemon": {"running": daemon_pid is not None, "pid": daemon_pid},
        "journal": {"error": journal_error},
        "now": now,
        **_totals(counts, now),
        "destinations": {
            name: _destination(status or DestinationStatus(name), now) for name, status in destination_status.items()
        },
        "routes": {
            name: _route(route_counts.get(name, RouteCounts(name)), route_status.get(name, RouteStatus(name)), now)
            | {"paused": name in paused}
            for name in route_names
        },
    }


def backlog_of(status: Mapping[str, Any]) -> int:
    """Return the number of files in a snapshot that are still to be delivered."""
    backlog: int = status["pending"] + status["uploading"]
    return backlog


def _totals(counts: Sequence[RouteCounts], now: float) -> dict[str, Any]:
    return {
        "pending": sum(route.pending for route in counts),
        "uploading": sum(route.count(State.UPLOADING) for route in counts),
        "delivered": sum(route.count(State.DELIVERED) for route in counts),
        "quarantined": sum(route.count(State.QUARANTINED) for route in counts),
        "pending_bytes": sum(route.pending_bytes for route in counts),
        "delivered_bytes": sum(route.delivered_bytes for route in counts),
        "oldest_pending_seconds": _age([route.oldest_pending_at for route in counts], now),
    }


def _age(moments: Sequence[float | None], now: float) -> float:
    """Return the seconds since the earliest moment; 0 if there is none."""
    return max((max(0.0, now - moment) for moment in moments if moment is not None), default=0.0)


def _destination(status: DestinationStatus, now: float) -> dict[str, Any]:
    """Return a destination's part. ``credentials_expire_in_seconds`` is None without a session (direct mode)."""
    expire_at, retry_at, error = status.credentials_expire_at, status.retry_at, status.last_error
    return {
        "state": str(status.state),
        "credentials_expire_in_seconds": None if expire_at is None else max(0.0, expire_at - now),
        "retry_in_seconds": max(0.0, retry_at - now) if retry_at and status.state is DestinationState.PARKED else None,
        "failing": status.failing,
        "last_error": error.line() if error else None,
        "advice": error.advice or None if error else None,
        "checksum": str(status.checksum_kind) if status.checksum_kind else None,
    }


def _route(counts: RouteCounts, status: RouteStatus, now: float) -> dict[str, Any]:
    """Return a route's part. ``settling`` files are not in the journal yet, and not in ``pending``."""
    return {
        "pending": counts.pending,
        "uploading": counts.count(State.UPLOADING),
        "delivered": counts.count(State.DELIVERED),
        "quarantined": counts.count(State.QUARANTINED),
        "pending_bytes": counts.pending_bytes,
        "delivered_bytes": counts.delivered_bytes,
        "oldest_pending_seconds": _age([counts.oldest_pending_at], now),
        "settling": status.settling,
        "watcher": status.watcher,
        "lost_events": status.lost_events,
        "last_scan_at": status.last_scan_at,
        "last_scan_seconds": status.last_scan_seconds,
    }
