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


def _ask(connection: sqlite3.Connection, query: str, route: str, paths: Sequence[bytes]) -> Iterator[sqlite3.Cursor]:
    """The query's answers for ``paths``, in portions that one statement can take."""
    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        statement = SQL[query].replace("/*paths*/", ",".join("?" * len(batch)))
        yield connection.execute(statement, (route, *batch))


def known(connection: sqlite3.Connection, route: str, paths: Sequence[bytes]) -> dict[bytes, Known]:
    """The records of those of ``paths`` that have one."""
    return {row[0]: Known._make(row) for cursor in _ask(connection, "known", route, paths) for row in cursor}


def is_news(record: Known | None, fingerprint: str) -> bool:
    """Whether a file with this fingerprint has to be judged, rather than being on its way (or there) already."""
    if record is None or record.fingerprint != fingerprint:
        return True
    return record.state in _TO_JUDGE_ANEW or bool(record.recheck)


def unfamiliar(connection: sqlite3.Connection, route: str, sightings: Sequence[Sighting]) -> list[Sighting]:
    """Those of ``sightings`` (all of ``route``) that are news, as ``is_news`` has it: here the query says so."""
    familiar: dict[bytes, str] = {}
    for cursor in _ask(connection, "familiar", route, [sighting.path for sighting in sightings]):
        familiar.update(cursor)
    find, text = familiar.get, rows.fingerprint_text
    return [sighting for sighting in sightings if find(sighting.path) != text(sighting.fingerprint)]
