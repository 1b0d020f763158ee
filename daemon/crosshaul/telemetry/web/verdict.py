"""What the page says in one sentence, and what is wrong in a few. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crosshaul.display import count, duration
from crosshaul.model import Record
from crosshaul.telemetry.health import HealthReport
from crosshaul.telemetry.history import Sample

_LATE = 900.0
"""Seconds a file may wait before the page stops calling it usual; what ``status --healthy`` allows by default."""


@dataclass(frozen=True, slots=True)
class PageFacts:
    """All that the page tells. ``sending``, ``waiting`` and ``failed`` are the first few of each."""

    status: Mapping[str, Any]
    live: HealthReport
    ready: HealthReport
    samples: Sequence[Sample]
    sending: Sequence[Record]
    waiting: Sequence[Record]
    failed: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: in a headline's words, in full, and what to do."""

    mood: str
    """``bad``: nothing is delivered, or not known to be; ``warn``: somebody should look."""
    short: str
    full: str
    cure: str
    where: str = ""
    """The section of the page that has more."""


def headline(facts: PageFacts, troubles: Sequence[Problem], left: float | None) -> tuple[str, str]:
    """How it stands, and the one sentence that a tired person reads; ``left`` is ``time_left``."""
    status = facts.status
    open_files = status["pending"] + status["uploading"]
    to_go = f"{count(open_files, 'file')} to go{f', about {duration(left)}' if left else ''}."
    if troubles and troubles[0].mood == "bad":
        to_go = f"{count(open_files, 'file')} {'waits' if open_files == 1 else 'wait'}."
    if troubles:
        return troubles[0].mood, f"{troubles[0].short} {to_go}" if open_files else troubles[0].short
    if open_files:
        return "good", f"Delivering: {to_go}"
    changing = sum(each["settling"] for each in status["routes"].values())
    if changing:
        verb = "is" if changing == 1 else "are"
        return "good", f"Everything at rest is delivered; {count(changing, 'file')} {verb} still changing."
    return "good", "Everything is delivered."


def time_left(facts: PageFacts, troubles: Sequence[Problem]) -> float | None:
    """Seconds until all that waits is sent, at the rate of the last minute; None where nothing gets through."""
    rate = facts.samples[-1].rate if facts.samples else 0.0
    if not rate or any(each.mood == "bad" for each in troubles):
        return None
    begun = sum(each.fingerprint.size - sent(each) for each in facts.sending)
    pending: int = facts.status["pending_bytes"]
    return (pending + begun) / rate


def sent(record: Record) -> int:
    """Bytes of a file that S3 has confirmed; of one that goes in one request, none before the end."""
    return sum(part.size for part in record.multipart.parts) if record.multipart else 0


def troubles_of(facts: PageFacts) -> list[Problem]:
    """Everything that is wrong, the worst first."""
    found = [*_of_daemon(facts), *_of_destinations(facts.status), *_of_routes(facts.status), *_of_files(facts.status)]
    if not found and not facts.ready.ok:  # whatever it is: the page can't be green where /readyz is red
        found = [Problem("bad", "Files can't be delivered.", "; ".join(facts.ready.reasons), "crosshaul check")]
    return sorted(found, key=lambda each: each.mood)


def _of_daemon(facts: PageFacts) -> Iterator[Problem]:
    for reason in facts.live.reasons:
        cure = "restart it: nothing is lost, and what is under way goes on from its last part"
        yield Problem("bad", "The daemon is stuck.", f"{reason}.", cure)
    if error := facts.status["journal"]["error"]:
        cure = "look after the disk of state_dir; nothing is lost"
        yield Problem("bad", "The journal can't be written: nothing is delivered.", error, cure)


def _of_destinations(status: Mapping[str, Any]) -> Iterator[Problem]:
    destinations = status["destinations"]
    shut = [name for name, each in destinations.items() if each["state"] == "parked" or each["failing"]]
    for name, each in destinations.items():
        error, advice = each["last_error"] or "", each["advice"] or ""
        what = error.removesuffix(advice).rstrip()
        cure = advice or f"crosshaul check --destination {name}"
        if name in shut:
            mood = "bad" if len(shut) == len(destinations) else "warn"
            yield Problem(mood, f"Nothing gets through to {name}.", f"{name}: {what}", cure)
        elif each["state"] == "starting":
            yield Problem("warn", "Starting.", f"{name}: no credentials yet. {what}".rstrip(), cure)
        elif error:
            ends = each["credentials_expire_in_seconds"]
            short = f"Credentials for {name} are not renewed{'' if ends is None else f' and end in {duration(ends)}'}."
            yield Problem("warn", short, f"{name}: {what}", cure)


def _of_routes(status: Mapping[str, Any]) -> Iterator[Problem]:
    for name, route in status["routes"].items():
        if route["watcher"] == "root missing":
            full = f"{name}: its files can't be seen; none of them counts as deleted"
            yield Problem("bad", f"The directory of {name} is not there.", f"{full}.", "is the volume mounted?")
        if route["paused"]:
            cure = f"crosshaul resume --route {name}"
            yield Problem("warn", f"{name} is paused.", f"{name}: somebody paused it; nothing of it is sent.", cure)


def _of_files(status: Mapping[str, Any]) -> Iterator[Problem]:
    if (oldest := status["oldest_pending_seconds"]) > _LATE:
        full = f"The oldest file has waited for {duration(oldest)}."
        yield Problem("warn", f"Behind by {duration(oldest)}.", full, "see which wait, and why", "waiting")
    if aside := status["quarantined"]:
        files = count(aside, "file")
        full = f"{files} can't be delivered as {'it is' if aside == 1 else 'they are'}."
        yield Problem("warn", f"{files} set aside.", full, "see why, and what to do", "aside")
