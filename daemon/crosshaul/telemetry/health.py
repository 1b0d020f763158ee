"""Is it alive, and is it of use? Pure facts; the web pages and systemd's watchdog read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crosshaul.model import DestinationState, DestinationStatus


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Yes or no, with a line for each thing that is wrong (there may be some even if it is a yes)."""

    ok: bool
    reasons: tuple[str, ...] = ()


class Liveness:
    """The loops' heartbeat. A loop that is expected has to beat at least every ``limit`` seconds, idle or not."""

    def __init__(self, monotonic: Callable[[], float], limit: float = 60.0) -> None:
        self._monotonic = monotonic
        self._limit = limit
        self._beats: dict[str, float] = {}

    def expect(self, *loops: str) -> None:
        """From now on these have to beat, and no others."""
        now = self._monotonic()
        self._beats = {loop: self._beats.get(loop, now) for loop in loops}

    def beat(self, loop: str) -> None:
        """The loop is alive."""
        if loop in self._beats:
            self._beats[loop] = self._monotonic()

    def late(self) -> dict[str, float]:
        """Loops that have not beaten in time, and the seconds since they last did."""
        now = self._monotonic()
        return {loop: now - at for loop, at in self._beats.items() if now - at > self._limit}


def live(pulse: Liveness) -> HealthReport:
    """Whether every loop beats. If not, a restart is the cure."""
    reasons = tuple(f"the {loop} loop has not moved for {silence:.0f} s" for loop, silence in pulse.late().items())
    return HealthReport(not reasons, reasons)


def healthy(status: Mapping[str, Any], max_age: float) -> HealthReport:
    """Whether files get through, by the facts of ``status --json``: a daemon runs, and nothing waits for too long."""
    reasons = []
    if not status["daemon"]["running"]:
        reasons.append("no daemon is running")
    if status["journal"]["error"]:
        reasons.append(f"the journal can't be written: {status['journal']['error']}")
    if (oldest := status["oldest_pending_seconds"]) > max_age:
        reasons.append(f"the oldest file has waited for {oldest:,.0f} s, and {max_age:,.0f} s are allowed")
    return HealthReport(not reasons, tuple(reasons))


def well(status: Mapping[str, Any], max_age: float, alive: HealthReport, usable: HealthReport) -> HealthReport:
    """Whether a monitor may be told that nobody has to look: ``healthy``, and nothing that hides what should wait."""
    reasons = [*healthy(status, max_age).reasons]
    for verdict in (alive, usable):
        reasons += [] if verdict.ok else verdict.reasons
    missing = [name for name, route in status["routes"].items() if route["watcher"] == "root missing"]
    reasons += [f"the directory of route {name} is not there" for name in missing]
    return HealthReport(not reasons, tuple(dict.fromkeys(reasons)))


def ready(journal_error: str | None, destinations: Sequence[DestinationStatus]) -> HealthReport:
    """Whether files can be delivered: the journal can be written and at least one destination takes files."""
    if journal_error is not None:
        return HealthReport(ok=False, reasons=(journal_error,))
    usable = any(status.state is DestinationState.READY for status in destinations)
    return HealthReport(
        usable, tuple(_unready(status) for status in destinations if status.state is not DestinationState.READY)
    )


def _unready(status: DestinationStatus) -> str:
    why = f": {status.last_error.line()}" if status.last_error else ""
    return f"destination {status.name} is {status.state}{why}"
