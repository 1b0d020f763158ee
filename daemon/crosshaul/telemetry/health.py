"""Verdicts on the daemon for the web pages, systemd's watchdog, ``status --healthy`` and the heartbeat. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crosshaul.model import DestinationState, DestinationStatus


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A verdict with a line for each problem; a good verdict may have problems as well."""

    ok: bool
    reasons: tuple[str, ...] = ()


class Liveness:
    """The loops' heartbeats. Each expected loop has to beat every ``limit`` seconds, also when it is idle."""

    def __init__(self, monotonic: Callable[[], float], limit: float = 60.0) -> None:
        self._monotonic = monotonic
        self._limit = limit
        self._beats: dict[str, float] = {}

    def expect(self, *loops: str) -> None:
        """Expect beats of these loops only, from now on."""
        now = self._monotonic()
        self._beats = {loop: self._beats.get(loop, now) for loop in loops}

    def beat(self, loop: str) -> None:
        """Note that the loop runs."""
        if loop in self._beats:
            self._beats[loop] = self._monotonic()

    def stale(self) -> dict[str, float]:
        """Return the loops whose beat is overdue, with the seconds since the last one."""
        now = self._monotonic()
        return {loop: now - at for loop, at in self._beats.items() if now - at > self._limit}


def live(liveness: Liveness) -> HealthReport:
    """Return whether every loop beats. If not, the daemon has to be restarted."""
    reasons = tuple(f"the {loop} loop has not moved for {silence:.0f} s" for loop, silence in liveness.stale().items())
    return HealthReport(not reasons, reasons)


def healthy(status: Mapping[str, Any], max_age: float) -> HealthReport:
    """Return whether files get through: a daemon runs, and no file is pending for over ``max_age`` seconds.

    ``status`` is a ``telemetry.status.snapshot``.
    """
    reasons = []
    if not status["daemon"]["running"]:
        reasons.append("no daemon is running")
    if status["journal"]["error"]:
        reasons.append(f"the journal can't be written: {status['journal']['error']}")
    if (oldest := status["oldest_pending_seconds"]) > max_age:
        reasons.append(f"the oldest file has been pending for {oldest:,.0f} s; at most {max_age:,.0f} s are allowed")
    return HealthReport(not reasons, tuple(reasons))


def all_clear(
    status: Mapping[str, Any], max_age: float, liveness: HealthReport, readiness: HealthReport
) -> HealthReport:
    """Return whether no person has to act: ``healthy``, live and ready, and no directory is missing.

    A missing directory hides the files that would be pending.
    """
    reasons = [*healthy(status, max_age).reasons]
    for verdict in (liveness, readiness):
        reasons += [] if verdict.ok else verdict.reasons
    missing = [name for name, route in status["routes"].items() if route["watcher"] == "root missing"]
    reasons += [f"the directory of route {name} is missing" for name in missing]
    return HealthReport(not reasons, tuple(dict.fromkeys(reasons)))


def ready(journal_error: str | None, destinations: Sequence[DestinationStatus]) -> HealthReport:
    """Return whether files can be delivered: the journal can be written and at least one destination takes files."""
    if journal_error is not None:
        return HealthReport(ok=False, reasons=(journal_error,))
    is_ready = any(status.state is DestinationState.READY for status in destinations)
    return HealthReport(
        is_ready, tuple(_not_ready(status) for status in destinations if status.state is not DestinationState.READY)
    )


def _not_ready(status: DestinationStatus) -> str:
    reason = f": {status.last_error.line()}" if status.last_error else ""
    return f"destination {status.name} is {status.state}{reason}"
