"""The report of a push: its totals, and a line for each failure or for all failures of a destination."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from crosshaul.cli.paths import place_of
from crosshaul.cli.records import record_json
from crosshaul.display import count, duration, printable, size
from crosshaul.errors import FaultKind
from crosshaul.model import PushSummary, Record

if TYPE_CHECKING:
    from crosshaul.config import Config

_MAX_FILE_LINES = 20
"""Failed files that are listed one by one."""
_DESTINATION_FAULTS = frozenset({FaultKind.DESTINATION, FaultKind.EXPIRED, FaultKind.NETWORK, FaultKind.THROTTLED})
"""Faults that concern all files of a destination: a line for each file would say nothing more."""


def summary_json(summary: PushSummary) -> dict[str, Any]:
    """Return the summary in JSON's types."""
    return {
        "delivered": summary.delivered,
        "delivered_bytes": summary.delivered_bytes,
        "unchanged": summary.unchanged,
        "seconds": round(summary.seconds, 3),
        "failed": [record_json(record) for record in summary.failed],
        "left_out": list(summary.left_out),
        "staying": [record_json(record) for record in summary.staying],
    }


def summary_sentence(summary: PushSummary) -> str:
    """Return the totals as a sentence."""
    sentence = f"Delivered {count(summary.delivered, 'file')}"
    if summary.delivered:
        rate = size(summary.delivered_bytes / max(summary.seconds, 0.001))
        sentence += f" ({size(summary.delivered_bytes)}) in {duration(summary.seconds)}, {rate}/s"
    if summary.unchanged:
        sentence += f"; {summary.unchanged:,} {'was' if summary.unchanged == 1 else 'were'} delivered before"
    if summary.failed:
        sentence += f"; {count(len(summary.failed), 'file')} not delivered"
    return f"{sentence}."


def problem_lines(config: Config, summary: PushSummary) -> Iterator[str]:
    """Yield a printable line for each problem."""
    held_up, others = _by_destination(summary.failed)
    for records in held_up:
        yield _destination_line(config, records)
    for record in others[:_MAX_FILE_LINES]:
        reason = record.diagnosis.line() if record.diagnosis else f"it is {record.state}"
        yield f"{place_of(config, record.route, record.path)}: {printable(reason)}"
    if len(others) > _MAX_FILE_LINES:
        yield f"and {len(others) - _MAX_FILE_LINES:,} more: see `crosshaul list`"
    for line in summary.left_out:
        yield f"left out: {printable(line)}"
    yield from _kept_source_lines(summary.staying)


def _by_destination(failed: Iterable[Record]) -> tuple[list[list[Record]], list[Record]]:
    """Return the files that their destination holds up, grouped by destination and error code; and the others.

    A file that was not tried belongs to the first group of its destination.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    first: dict[str, list[Record]] = {}
    untried, others = [], []
    for record in failed:
        if record.diagnosis is None:
            untried.append(record)
        elif record.diagnosis.kind in _DESTINATION_FAULTS:
            group = groups.setdefault((record.destination, record.diagnosis.code), [])
            group.append(record)
            first.setdefault(record.destination, group)
        else:
            others.append(record)
    for record in untried:
        first.get(record.destination, others).append(record)
    return list(groups.values()), others


def _destination_line(config: Config, records: list[Record]) -> str:
    example = records[0]
    error = example.diagnosis.line() if example.diagnosis else ""
    pending = f"{count(len(records), 'file')} pending{':' if len(records) == 1 else ', such as'}"
    place = place_of(config, example.route, example.path)
    return f"destination {example.destination}: {printable(error)} {pending} {place}"


def _kept_source_lines(records: Iterable[Record]) -> Iterator[str]:
    """Yield a line for each reason why sources of a route were not deleted or moved."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for record in records:
        message = printable(record.diagnosis.message if record.diagnosis else "")
        path, _, reason = message.partition(": ")
        reasons.setdefault((record.route, reason), []).append(path)
    for (route, reason), paths in reasons.items():
        sources = "a source stays" if len(paths) == 1 else f"{count(len(paths), 'source')} stay, such as"
        yield f"route {route}: {sources} {paths[0]}: {reason}"
