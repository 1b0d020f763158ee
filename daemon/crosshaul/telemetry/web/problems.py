"""The status page's headline and its list of problems. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crosshaul.display import count, duration
from crosshaul.model import Record
from crosshaul.telemetry.health import HealthReport
from crosshaul.telemetry.history import Sample

_BEHIND_SECONDS = 900.0
"""A file that is pending for longer is a problem; ``status --healthy`` allows the same by default."""


@dataclass(frozen=True, slots=True)
class PageData:
    """All that the page shows. ``status`` is a ``telemetry.status.snapshot``; the records are the first few of each."""

    status: Mapping[str, Any]
    live: HealthReport
    ready: HealthReport
    samples: Sequence[Sample]
    sending: Sequence[Record]
    waiting: Sequence[Record]
    failed: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem: short for the headline, in full, and with a hint what to do."""

    mood: str
    """``bad``: nothing is delivered, or it is unknown whether anything is; ``warn``: a person should look."""
    short: str
    full: str
    hint: str
    section: str = ""
    """The id of the page's section with more about it."""


def headline(page: PageData, problems: Sequence[Problem], seconds_left: float | None) -> tuple[str, str]:
    """Return the mood and the headline: the worst problem and the backlog; ``seconds_left`` is ``time_left``."""
    backlog = page.status["pending"] + page.status["uploading"]
    if problems:
        worst = problems[0]
        if not backlog:
            return worst.mood, worst.short
        rest = f"{count(backlog, 'file')} pending." if worst.mood == "bad" else _to_go(backlog, seconds_left)
        return worst.mood, f"{worst.short} {rest}"
    if backlog:
        return "good", f"Delivering: {_to_go(backlog, seconds_left)}"
    settling = sum(route["settling"] for route in page.status["routes"].values())
    if settling:
        verb = "is" if settling == 1 else "are"
        return "good", f"All settled files are delivered; {count(settling, 'file')} {verb} still settling."
    return "good", "Everything is delivered."


def _to_go(backlog: int, seconds_left: float | None) -> str:
    return f"{count(backlog, 'file')} to go{f', about {duration(seconds_left)}' if seconds_left else ''}."


def time_left(page: PageData, problems: Sequence[Problem]) -> float | None:
    """Return the seconds until the backlog is sent at the last minute's rate; None while nothing gets through."""
    rate = page.samples[-1].rate if page.samples else 0.0
    if not rate or any(problem.mood == "bad" for problem in problems):
        return None
    uploading_bytes = sum(record.fingerprint.size - record.sent_bytes for record in page.sending)
    pending_bytes: int = page.status["pending_bytes"]
    return (pending_bytes + uploading_bytes) / rate


def problems_of(page: PageData) -> list[Problem]:
    """Return all problems, the worst first."""
    status = page.status
    problems = [
        *_daemon_problems(page),
        *_destination_problems(status),
        *_route_problems(status),
        *_file_problems(status),
    ]
    if not problems and not page.ready.ok:  # the page must not be green where /readyz is red
        problems = [Problem("bad", "Files can't be delivered.", "; ".join(page.ready.reasons), "crosshaul check")]
    return sorted(problems, key=lambda problem: problem.mood)


def _daemon_problems(page: PageData) -> Iterator[Problem]:
    for reason in page.live.reasons:
        hint = "restart the daemon: no file is lost, and unfinished uploads continue from their last part"
        yield Problem("bad", "The daemon is stuck.", f"{reason}.", hint)
    if error := page.status["journal"]["error"]:
        hint = "check the disk of state_dir; no file is lost"
        yield Problem("bad", "The journal can't be written: nothing is delivered.", error, hint)


def _destination_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    destinations = status["destinations"]
    blocked = [name for name, status in destinations.items() if status["state"] == "parked" or status["failing"]]
    for name, destination in destinations.items():
        advice = destination["advice"] or ""
        error = (destination["last_error"] or "").removesuffix(advice).rstrip()
        hint = advice or f"crosshaul check --destination {name}"
        if name in blocked:
            mood = "bad" if len(blocked) == len(destinations) else "warn"
            yield Problem(mood, f"Nothing gets through to {name}.", f"{name}: {error}", hint)
        elif destination["state"] == "starting":
            yield Problem("warn", "Starting.", f"{name}: no credentials yet. {error}".rstrip(), hint)
        elif error:
            expire_in = destination["credentials_expire_in_seconds"]
            when = "" if expire_in is None else f" and expire in {duration(expire_in)}"
            yield Problem("warn", f"Credentials for {name} can't be renewed{when}.", f"{name}: {error}", hint)


def _route_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    for name, route in status["routes"].items():
        if route["watcher"] == "root missing":
            full = f"{name}: the daemon can't see its files; none of them counts as deleted."
            yield Problem("bad", f"The directory of {name} is missing.", full, "is the volume mounted?")
        if route["paused"]:
            full = f"{name}: an operator paused the route; none of its files is sent."
            yield Problem("warn", f"{name} is paused.", full, f"crosshaul resume --route {name}")


def _file_problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    if (oldest := status["oldest_pending_seconds"]) > _BEHIND_SECONDS:
        full = f"The oldest file has been pending for {duration(oldest)}."
        yield Problem("warn", f"Behind by {duration(oldest)}.", full, "see which files are pending, and why", "pending")
    if quarantined := status["quarantined"]:
        files = count(quarantined, "file")
        full = f"{files} can't be delivered as {'it is' if quarantined == 1 else 'they are'}."
        yield Problem("warn", f"{files} quarantined.", full, "see why, and what to do", "quarantined")
