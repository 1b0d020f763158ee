"""The rows of the page's tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crosshaul.display import count, duration, size
from crosshaul.model import Record
from crosshaul.telemetry.web.markup import Html, badge, progress, table
from crosshaul.telemetry.web.verdict import PageFacts, sent

_DESTINATION = ("Destination", "State", "Credentials", "Next try")
_SENDING = ("File", "Route", "Size", "Done")
_WAITING = ("File", "Route", "Size", "Seen", "Why it waits")
_FAILED = ("File", "Route", "Why", "What to do")
_ROUTE = ("Route", "Directory", "Waiting", "Being sent", "Delivered", "Set aside", "Oldest waits", "Last scan")
_DONE = "mend the cause, then: crosshaul retry"


def tables(facts: PageFacts) -> list[str]:
    """All of them, in the order in which they are asked for."""
    status = facts.status
    return [
        table("destinations", "Destinations", _DESTINATION, _destinations(status["destinations"]), "There is none."),
        table("aside", "Set aside", _FAILED, map(_failed, facts.failed), "No file is set aside."),
        table("sending", "Being sent now", _SENDING, map(_sending, facts.sending), "Nothing at the moment."),
        table("waiting", "Waiting longest", _WAITING, _waiting(facts), "No file waits."),
        table("routes", "Routes", _ROUTE, _routes(status), "There is none."),
    ]


def _destinations(destinations: Mapping[str, Mapping[str, Any]]) -> Iterator[list[object]]:
    for name, each in destinations.items():
        ends, again = each["credentials_expire_in_seconds"], each["retry_in_seconds"]
        credentials = "no session" if ends is None else f"good for {duration(ends)}" if ends else badge("bad", "ended")
        yield [name, _state(each), credentials, "-" if again is None else f"in {duration(again)}"]


def _state(destination: Mapping[str, Any]) -> Html:
    state = destination["state"]
    if destination["failing"] and state == "ready":
        return badge("bad", "not reached")
    return badge({"ready": "good", "parked": "bad"}.get(state, "warn"), state)


def _sending(record: Record) -> list[object]:
    whole = record.fingerprint.size
    if record.multipart is None:
        return [record.path, record.route, size(whole), "under way"]
    done = sent(record)
    parts, total = len(record.multipart.parts), -(-whole // record.multipart.part_size)
    words = f"{done * 100 // max(1, whole)} % ({parts:,} of {count(total, 'part')})"
    return [record.path, record.route, size(whole), progress(done, whole, words)]


def _waiting(facts: PageFacts) -> Iterator[list[object]]:
    for record in facts.waiting:
        seen = f"{duration(max(0.0, facts.status['now'] - record.first_seen_at))} ago"
        yield [record.path, record.route, size(record.fingerprint.size), seen, _why(record, facts.status)]


def _why(record: Record, status: Mapping[str, Any]) -> str:
    destination = status["destinations"].get(record.destination, {"state": "not configured", "failing": False})
    if status["routes"].get(record.route, {}).get("paused"):
        return "its route is paused"
    if destination["state"] not in {"ready", "starting"}:
        return f"{record.destination} is {destination['state']}"
    due = record.due_at - status["now"]
    again = f"Next try in {duration(due)}." if due > 0 else "It is tried again now."
    if destination["failing"]:
        return f"{record.destination} is not reached. {again}"
    return f"{record.diagnosis.fact()} {again}" if record.diagnosis else "its turn has not come"


def _failed(record: Record) -> list[object]:
    if record.diagnosis is None:
        return [record.path, record.route, "no reason was kept", _DONE]
    return [record.path, record.route, record.diagnosis.fact(), record.diagnosis.advice or _DONE]


def _routes(status: Mapping[str, Any]) -> Iterator[list[object]]:
    for name, each in status["routes"].items():
        counts = [each[key] for key in ("pending", "uploading", "delivered", "quarantined")]
        oldest = duration(each["oldest_pending_seconds"]) if each["pending"] else "-"
        scanned = each["last_scan_at"]
        ago = "not yet" if scanned is None else f"{duration(max(0.0, status['now'] - scanned))} ago"
        yield [name, _watched(each), *counts, oldest, ago]


def _watched(route: Mapping[str, Any]) -> Html:
    if route["paused"]:
        return badge("warn", f"{route['watcher']}, paused")
    mood = {"watching": "good", "root missing": "bad"}.get(route["watcher"], "warn")
    return badge(mood, route["watcher"])
