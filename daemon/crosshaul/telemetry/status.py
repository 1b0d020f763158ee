"""The state of everything as one dictionary: what ``status --json`` prints and ``/status.json`` answers. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from crosshaul.model import DestinationState, DestinationStatus, RouteCounts, RouteStatus, State

# Settling files are on their way as well: whoever waits for `pending` to be 0 must not stop before them.
_WAITING = (State.PENDING, State.SETTLING)


def snapshot(
    tallies: Sequence[RouteCounts],
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
    """The state at ``now`` (seconds since the epoch), in JSON's types.

    What is configured but not in the journal yet shows as ``starting`` or ``off``. ``daemon_pid`` None = not running.
    ``journal_error`` is what keeps the journal from being written. ``paused`` routes send nothing for now.
    """
    counts = {route.name: route for route in routes}
    known = {tally.route: tally for tally in tallies}
    names = dict.fromkeys([*configured_routes, *counts, *known])
    accounts = dict.fromkeys(configured_destinations) | {status.name: status for status in destinations}
    return {
        "daemon": {"running": daemon_pid is not None, "pid": daemon_pid},
        "journal": {"error": journal_error},
        "now": now,
        **_totals(tallies, now),
        "destinations": {
            name: _destination(status or DestinationStatus(name), now) for name, status in accounts.items()
        },
        "routes": {
            name: _route(known.get(name, RouteCounts(name)), counts.get(name, RouteStatus(name)), now)
            | {"paused": name in paused}
            for name in names
        },
    }


def _totals(tallies: Sequence[RouteCounts], now: float) -> dict[str, Any]:
    return {
        "pending": sum(_count(tally, *_WAITING) for tally in tallies),
        "uploading": sum(_count(tally, State.UPLOADING) for tally in tallies),
        "delivered": sum(_count(tally, State.DELIVERED) for tally in tallies),
        "quarantined": sum(_count(tally, State.QUARANTINED) for tally in tallies),
        "pending_bytes": sum(tally.pending_bytes for tally in tallies),
        "delivered_bytes": sum(tally.delivered_bytes for tally in tallies),
        "oldest_pending_seconds": _age([tally.oldest_pending_at for tally in tallies], now),
    }


def _count(tally: RouteCounts, *states: State) -> int:
    return sum(tally.files.get(state, 0) for state in states)


def _age(moments: Sequence[float | None], now: float) -> float:
    """Seconds since the earliest; 0 if there is none."""
    return max((max(0.0, now - moment) for moment in moments if moment is not None), default=0.0)


def _destination(status: DestinationStatus, now: float) -> dict[str, Any]:
    """``credentials_expire_in_seconds`` is None where there is no session (yet, or ever: direct mode)."""
    ends, retry_at, error = status.credentials_expire_at, status.retry_at, status.last_error
    return {
        "state": str(status.state),
        "credentials_expire_in_seconds": None if ends is None else max(0.0, ends - now),
        "retry_in_seconds": max(0.0, retry_at - now) if retry_at and status.state is DestinationState.PARKED else None,
        "failing": status.failing,
        "last_error": error.line() if error else None,
        "advice": error.advice or None if error else None,
        "checksum": str(status.checksum_kind) if status.checksum_kind else None,
    }


def _route(tally: RouteCounts, status: RouteStatus, now: float) -> dict[str, Any]:
    """``settling`` counts files that the watcher has seen and the journal has not: they are not in ``pending``."""
    return {
        "pending": _count(tally, *_WAITING),
        "uploading": _count(tally, State.UPLOADING),
        "delivered": _count(tally, State.DELIVERED),
        "quarantined": _count(tally, State.QUARANTINED),
        "pending_bytes": tally.pending_bytes,
        "delivered_bytes": tally.delivered_bytes,
        "oldest_pending_seconds": _age([tally.oldest_pending_at], now),
        "settling": status.settling,
        "watcher": status.watcher,
        "lost_events": status.lost_events,
        "last_scan_at": status.last_scan_at,
        "last_scan_seconds": status.last_scan_seconds,
    }
