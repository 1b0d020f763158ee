"""The status page's tables: titles, headings and rows. The template writes them as HTML. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crosshaul.display import count, duration, size, text
from crosshaul.model import Record
from crosshaul.telemetry.web.problems import PageData

_RETRY_HINT = "fix the cause, then: crosshaul retry"


@dataclass(frozen=True, slots=True)
class Badge:
    """A table cell: a state with the colour of its mood (``good``, ``warn`` or ``bad``)."""

    mood: str
    label: str


@dataclass(frozen=True, slots=True)
class ProgressCell:
    """A table cell: a bar with the same in words."""

    done: int
    total: int
    label: str


Cell = str | int | Badge | ProgressCell


@dataclass(frozen=True, slots=True)
class Table:
    """A section with a table; ``empty`` is shown where there are no rows. The first cell names its row."""

    id: str
    title: str
    heads: tuple[str, ...]
    rows: list[list[Cell]]
    empty: str


def tables_of(page: PageData) -> list[Table]:
    """Return the page's tables, the most urgent first."""
    status = page.status
    return [
        Table(
            "destinations",
            "Destinations",
            ("Destination", "State", "Credentials", "Next try"),
            list(_destination_rows(status["destinations"])),
            "No destination is configured.",
        ),
        Table(
            "quarantined",
            "Quarantined",
            ("File", "Route", "Reason", "What to do"),
            [_quarantined_row(record) for record in page.failed],
            "No file is quarantined.",
        ),
        Table(
            "uploading",
            "Uploading",
            ("File", "Route", "Size", "Progress"),
            [_uploading_row(record) for record in page.sending],
            "No upload is running.",
        ),
        Table(
            "pending",
            "Pending longest",
            ("File", "Route", "Size", "First seen", "Reason"),
            [_pending_row(record, status) for record in page.waiting],
            "No file is pending.",
        ),
        Table(
            "routes",
            "Routes",
            ("Route", "Watcher", "Pending", "Uploading", "Delivered", "Quarantined", "Oldest pending", "Last scan"),
            list(_route_rows(status)),
            "No route is configured.",
        ),
    ]


def _destination_rows(destinations: Mapping[str, Mapping[str, Any]]) -> Iterator[list[Cell]]:
    for name, destination in destinations.items():
        retry_in = destination["retry_in_seconds"]
        yield [
            name,
            _destination_badge(destination),
            _credentials(destination["credentials_expire_in_seconds"]),
            "-" if retry_in is None else f"in {duration(retry_in)}",
        ]


def _credentials(expire_in_seconds: float | None) -> Cell:
    if expire_in_seconds is None:
        return "no session"
    return f"valid for {duration(expire_in_seconds)}" if expire_in_seconds else Badge("bad", "expired")


def _destination_badge(destination: Mapping[str, Any]) -> Badge:
    state = destination["state"]
    if destination["failing"] and state == "ready":
        return Badge("bad", "unreachable")
    return Badge({"ready": "good", "parked": "bad"}.get(state, "warn"), state)


def _uploading_row(record: Record) -> list[Cell]:
    total = record.fingerprint.size
    row: list[Cell] = [text(record.path), record.route, size(total)]
    if record.multipart is None:
        return [*row, "started"]
    done, parts = record.sent_bytes, len(record.multipart.parts)
    part_count = -(-total // record.multipart.part_size)
    label = f"{done * 100 // max(1, total)} % ({parts:,} of {count(part_count, 'part')})"
    return [*row, ProgressCell(done, max(1, total), label)]


def _pending_row(record: Record, status: Mapping[str, Any]) -> list[Cell]:
    seen = f"{duration(status['now'] - record.first_seen_at)} ago"
    return [text(record.path), record.route, size(record.fingerprint.size), seen, _pending_reason(record, status)]


def _pending_reason(record: Record, status: Mapping[str, Any]) -> str:
    destination = status["destinations"].get(record.destination, {"state": "not configured", "failing": False})
    if status["routes"].get(record.route, {}).get("paused"):
        return "the route is paused"
    if destination["state"] not in {"ready", "starting"}:
        return f"{record.destination} is {destination['state']}"
    retry_in = record.due_at - status["now"]
    next_try = f"Next try in {duration(retry_in)}." if retry_in > 0 else "The next try is due."
    if destination["failing"]:
        return f"{record.destination} is unreachable. {next_try}"
    return f"{record.diagnosis.without_advice()} {next_try}" if record.diagnosis else "waiting for a worker"


def _quarantined_row(record: Record) -> list[Cell]:
    reason = record.diagnosis.without_advice() if record.diagnosis else "no reason was recorded"
    hint = record.diagnosis.advice if record.diagnosis else ""
    return [text(record.path), record.route, reason, hint or _RETRY_HINT]


def _route_rows(status: Mapping[str, Any]) -> Iterator[list[Cell]]:
    for name, route in status["routes"].items():
        counts = [route[state] for state in ("pending", "uploading", "delivered", "quarantined")]
        oldest = duration(route["oldest_pending_seconds"]) if route["pending"] else "-"
        scanned_at = route["last_scan_at"]
        last_scan = "not yet" if scanned_at is None else f"{duration(status['now'] - scanned_at)} ago"
        yield [name, _watcher_badge(route), *counts, oldest, last_scan]


def _watcher_badge(route: Mapping[str, Any]) -> Badge:
    if route["paused"]:
        return Badge("warn", f"{route['watcher']}, paused")
    mood = {"watching": "good", "root missing": "bad"}.get(route["watcher"], "warn")
    return Badge(mood, route["watcher"])
