"""What the journal has on many paths at once: the question of every scan."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from crosshaul.journal.sqlite import bulk, rows
from crosshaul.journal.sqlite.queries import SQL
from crosshaul.model import ChangedFiles, Recorded, Settled, SettleReason, Sighting, State

_BATCH = 500
"""Paths per query; the statement of a full batch stays prepared."""
_TO_JUDGE_ANEW = frozenset({State.CHANGED, State.GONE})


class RecordLookup(NamedTuple):
    """What an admission needs of a record; the order is that of the query ``lookup``."""

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
    """The records of those of ``paths`` that have one."""
    found: dict[bytes, RecordLookup] = {}
    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        statement = SQL["lookup"].replace("/*paths*/", ",".join("?" * len(batch)))
        found.update((row[0], RecordLookup._make(row)) for row in connection.execute(statement, (route, *batch)))
    return found


def is_changed(record: RecordLookup | None, fingerprint: str, plan: int) -> bool:
    """Whether a file with this fingerprint has to be judged by ``plan``, rather than being on its way or there."""
    if record is None or record.fingerprint != fingerprint or record.plan != plan:
        return True
    return record.state in _TO_JUDGE_ANEW or bool(record.recheck)


def stays(one: Settled, record: RecordLookup) -> bool:
    """Whether a file is where it goes, or on its way there, in this very state already."""
    same = record.fingerprint == rows.fingerprint_text(one.sighting.fingerprint) and record.state not in _TO_JUDGE_ANEW
    goes_there = not one.refusal and (record.place, record.key) == (one.plan.place, one.key)
    return same and goes_there and bool(record.holds_key)


def to_send(connection: sqlite3.Connection, route: str, seen: Sequence[Settled]) -> list[Settled]:
    """Those of ``seen`` (all of ``route``) that are not delivered to where they go, nor set aside there."""
    records = lookup(connection, route, [one.sighting.path for one in seen])
    done = {path for path, record in records.items() if record.state in {State.DELIVERED, State.QUARANTINED}}
    return [one for one in seen if one.sighting.path not in done or not stays(one, records[one.sighting.path])]


def filter_changed(
    connection: sqlite3.Connection, route: str, sightings: Sequence[Sighting], plan: int
) -> ChangedFiles:
    """Those of ``sightings`` (all of ``route``) that are news, as ``is_changed`` has it: here the query says so."""
    text = rows.fingerprint_text
    filtered = ChangedFiles([], [])
    for start in range(0, len(sightings), _BATCH):
        batch = sightings[start : start + _BATCH]
        seen = [(number, sighting.path, text(sighting.fingerprint)) for number, sighting in enumerate(batch)]
        for number in bulk.compare(connection, "filter_changed", seen, route, plan):
            if number >= 0:
                filtered.changed.append(batch[number])
            else:
                filtered.other_plan.append(batch[-1 - number])
    return filtered


def recorded(connection: sqlite3.Connection, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
    """The states that were taken last of those of ``paths`` that have a record."""
    found: dict[bytes, Recorded] = {}
    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        statement = SQL["recorded"].replace("/*paths*/", ",".join("?" * len(batch)))
        for path, fingerprint, settled_by in connection.execute(statement, (route, *batch)):
            found[path] = Recorded(rows.fingerprint(fingerprint), SettleReason(settled_by) if settled_by else None)
    return found
