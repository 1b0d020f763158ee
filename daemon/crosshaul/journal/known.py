"""What the journal has on many paths at once: the question of every scan."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from crosshaul.journal import bulk, rows
from crosshaul.journal.queries import SQL
from crosshaul.model import Reason, Recorded, Sighting, State

_BATCH = 500
"""Paths per query; the statement of a full batch stays prepared."""
_TO_JUDGE_ANEW = frozenset({State.SETTLING, State.GONE})


class Known(NamedTuple):
    """What an admission needs of a record; the order is that of the query ``known``."""

    path: bytes
    id: int
    state: str
    fingerprint: str
    recheck: int
    holds_key: int
    destination: str
    key: str


def known(connection: sqlite3.Connection, route: str, paths: Sequence[bytes]) -> dict[bytes, Known]:
    """The records of those of ``paths`` that have one."""
    found: dict[bytes, Known] = {}
    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        statement = SQL["known"].replace("/*paths*/", ",".join("?" * len(batch)))
        found.update((row[0], Known._make(row)) for row in connection.execute(statement, (route, *batch)))
    return found


def is_news(record: Known | None, fingerprint: str) -> bool:
    """Whether a file with this fingerprint has to be judged, rather than being on its way (or there) already."""
    if record is None or record.fingerprint != fingerprint:
        return True
    return record.state in _TO_JUDGE_ANEW or bool(record.recheck)


def unfamiliar(connection: sqlite3.Connection, route: str, sightings: Sequence[Sighting]) -> list[Sighting]:
    """Those of ``sightings`` (all of ``route``) that are news, as ``is_news`` has it: here the query says so."""
    text = rows.fingerprint_text
    news: list[Sighting] = []
    for start in range(0, len(sightings), _BATCH):
        batch = sightings[start : start + _BATCH]
        seen = [(number, sighting.path, text(sighting.fingerprint)) for number, sighting in enumerate(batch)]
        news += [batch[number] for number in bulk.compare(connection, "unfamiliar", seen, route)]
    return news


def recorded(connection: sqlite3.Connection, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
    """The states that were taken last of those of ``paths`` that have a record."""
    found: dict[bytes, Recorded] = {}
    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        statement = SQL["recorded"].replace("/*paths*/", ",".join("?" * len(batch)))
        for path, fingerprint, settled_by in connection.execute(statement, (route, *batch)):
            found[path] = Recorded(rows.fingerprint(fingerprint), Reason(settled_by) if settled_by else None)
    return found
