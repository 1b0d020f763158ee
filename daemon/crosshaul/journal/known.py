"""What the journal has on many paths at once: the question of every scan."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from crosshaul.journal import rows
from crosshaul.journal.queries import SQL
from crosshaul.model import Sighting, State

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


def batches(paths: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The paths in portions that one query can take."""
    for start in range(0, len(paths), _BATCH):
        yield paths[start : start + _BATCH]


def known(connection: sqlite3.Connection, route: str, paths: Sequence[bytes]) -> dict[bytes, Known]:
    """The records of those of ``paths`` that have one."""
    found: dict[bytes, Known] = {}
    for batch in batches(paths):
        statement = SQL["known"].replace("/*paths*/", ",".join("?" * len(batch)))
        found.update((row[0], Known._make(row)) for row in connection.execute(statement, (route, *batch)))
    return found


def is_news(record: Known | None, fingerprint: str) -> bool:
    """Whether a file with this fingerprint has to be judged, rather than being on its way (or there) already."""
    if record is None or record.fingerprint != fingerprint:
        return True
    return record.state in _TO_JUDGE_ANEW or bool(record.recheck)


def unfamiliar(connection: sqlite3.Connection, route: str, sightings: Sequence[Sighting]) -> list[Sighting]:
    """Those of ``sightings`` (all of ``route``) that are news."""
    records = known(connection, route, [sighting.path for sighting in sightings])
    find, text = records.get, rows.fingerprint_text
    return [sighting for sighting in sightings if is_news(find(sighting.path), text(sighting.fingerprint))]
