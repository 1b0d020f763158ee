"""Looks up the records of many paths at once, for scans."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from crosshaul.journal.sqlite import bulk, rows
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import ChangedFiles, Recorded, Settled, SettleReason, Sighting, State

_BATCH_PATHS = 500
"""Paths per query; the statement of a full batch stays prepared."""
_MUST_SETTLE = frozenset({State.CHANGED, State.GONE})


class RecordLookup(NamedTuple):
    """The columns of a record that an admission needs, in the order of the query ``lookup``."""

    path: bytes
    id: int
    state: str
    fingerprint: str
    recheck: int
    holds_key: int
    place: int
    key: str
    plan: int


def lookup(connection: sqlite3.Connection, route: str, paths: Sequence[bytes]) -> dict[bytes, RecordLookup]:
    """Return the records of those of ``paths`` that have one."""
    records: dict[bytes, RecordLookup] = {}
    for start in range(0, len(paths), _BATCH_PATHS):
        batch = paths[start : start + _BATCH_PATHS]
        statement = SQL["lookup"].replace("/*paths*/", ",".join("?" * len(batch)))
        records.update((row[0], RecordLookup._make(row)) for row in connection.execute(statement, (route, *batch)))
    return records


def is_changed(record: RecordLookup | None, fingerprint: str, plan: int) -> bool:
    """Return True unless the file is recorded with this fingerprint under this plan."""
    if record is None or record.fingerprint != fingerprint or record.plan != plan:
        return True
    return record.state in _MUST_SETTLE or bool(record.recheck)


def stays(one: Settled, record: RecordLookup) -> bool:
    """Return True if the file is already delivered, or queued, with this fingerprint, place and key."""
    same = record.fingerprint == rows.fingerprint_text(one.sighting.fingerprint) and record.state not in _MUST_SETTLE
    goes_there = not one.refusal and (record.place, record.key) == (one.plan.place, one.key)
    return same and goes_there and bool(record.holds_key)


def to_send(connection: sqlite3.Connection, route: str, seen: Sequence[Settled]) -> list[Settled]:
    """Return those of ``seen``, all of ``route``, that are neither delivered nor quarantined where they go."""
    records = lookup(connection, route, [one.sighting.path for one in seen])
    done = {path for path, record in records.items() if record.state in {State.DELIVERED, State.QUARANTINED}}
    return [one for one in seen if one.sighting.path not in done or not stays(one, records[one.sighting.path])]


def filter_changed(
    connection: sqlite3.Connection, route: str, sightings: Sequence[Sighting], plan: int
) -> ChangedFiles:
    """Return the sightings, all of ``route``, for which ``is_changed`` is true; the query makes the same test."""
    text = rows.fingerprint_text
    filtered = ChangedFiles([], [])
    for start in range(0, len(sightings), _BATCH_PATHS):
        batch = sightings[start : start + _BATCH_PATHS]
        seen = [(number, sighting.path, text(sighting.fingerprint)) for number, sighting in enumerate(batch)]
        for number in bulk.compare(connection, "filter_changed", seen, route, plan):
            if number >= 0:
                filtered.changed.append(batch[number])
            else:
                filtered.other_plan.append(batch[-1 - number])
    return filtered


def recorded(connection: sqlite3.Connection, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
    """Return the last recorded fingerprints of those of ``paths`` that have a record."""
    fingerprints: dict[bytes, Recorded] = {}
    for start in range(0, len(paths), _BATCH_PATHS):
        batch = paths[start : start + _BATCH_PATHS]
        statement = SQL["recorded"].replace("/*paths*/", ",".join("?" * len(batch)))
        for path, fingerprint, settled_by in connection.execute(statement, (route, *batch)):
            fingerprints[path] = Recorded(
                rows.fingerprint(fingerprint), SettleReason(settled_by) if settled_by else None
            )
    return fingerprints
