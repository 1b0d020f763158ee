"""What intake writes: files that came to rest, and files that disappeared."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from crosshaul.errors import Diagnosis, Kind
from crosshaul.journal import bulk, rows
from crosshaul.journal.known import Known, is_news, known
from crosshaul.journal.moves import check_move
from crosshaul.journal.queries import SQL
from crosshaul.model import Refusal, Settled, State

Key = tuple[str, str]
"""Destination and object key."""
File = tuple[str, bytes]
"""Route and path."""


class Admission(NamedTuple):
    """One call of ``Journal.admit``."""

    settled: Sequence[Settled]
    now: float


class Vanishing(NamedTuple):
    """One call of ``Journal.vanished``."""

    route: str
    paths: Sequence[bytes]
    now: float


@dataclass(slots=True)
class _Changes:
    """The rows to write, gathered so that each kind is one statement."""

    released: list[tuple[int]] = field(default_factory=list)
    offered: list[tuple[str, str, int]] = field(default_factory=list)
    new: list[tuple[object, ...]] = field(default_factory=list)
    changed: list[tuple[object, ...]] = field(default_factory=list)
    restarted: list[int] = field(default_factory=list)

    def write(self, connection: sqlite3.Connection) -> None:
        """Keys are let go before others take them, and offered when all of this batch stand where they belong."""
        connection.executemany(SQL["release_key"], self.released)
        connection.executemany(SQL["admit_changed"], self.changed)
        connection.execute(SQL["drop_multipart"], (rows.ids_text(self.restarted),))
        bulk.run(connection, "admit_new", self.new)
        connection.executemany(SQL["offer_key"], self.offered)


def admit(connection: sqlite3.Connection, admission: Admission) -> None:
    """Queue what is new or changed; set aside what was refused, or whose key is another file's."""
    by_route: dict[str, dict[bytes, Settled]] = {}
    for one in admission.settled:
        by_route.setdefault(one.sighting.route, {})[one.sighting.path] = one
    for route, files in by_route.items():
        _admit_route(connection, route, files, admission.now)


def _admit_route(connection: sqlite3.Connection, route: str, files: Mapping[bytes, Settled], now: float) -> None:
    records = known(connection, route, list(files))
    news = [
        one
        for path, one in files.items()
        if is_news(records.get(path), rows.fingerprint_text(one.sighting.fingerprint))
    ]
    holders = _holders(connection, news)
    changes = _Changes()
    for one in news:
        _judge(one, records.get(one.sighting.path), holders, changes, now)
    changes.write(connection)


def _holders(connection: sqlite3.Connection, news: Iterable[Settled]) -> dict[Key, File]:
    wanted = json.dumps([(one.destination, one.key) for one in news if one.refusal is None])
    return {
        (destination, key): (route, path)
        for destination, key, route, path in connection.execute(SQL["admission_holders"], (wanted,))
    }


def _judge(one: Settled, record: Known | None, holders: dict[Key, File], changes: _Changes, now: float) -> None:
    wanted = (one.destination, one.key)
    held = (record.destination, record.key) if record and record.holds_key else None
    if record and held and (one.refusal or held != wanted):
        holders.pop(held, None)
        changes.released.append((record.id,))
        changes.offered.append((*held, record.id))
    refusal = one.refusal or _take_key(one, holders)
    columns = _columns(one, refusal, now)
    if record is None:
        changes.new.append((*columns, now, one.sighting.route, one.sighting.path))
        return
    if record.state != State.UPLOADING:
        check_move(record.id, State(record.state), State.QUARANTINED if refusal else State.PENDING)
    changes.changed.append((*columns, record.id))
    changes.restarted.append(record.id)


def _take_key(one: Settled, holders: dict[Key, File]) -> Refusal | None:
    """Note whose the key is now; a refusal if it is another file's."""
    file = (one.sighting.route, one.sighting.path)
    holder = holders.setdefault((one.destination, one.key), file)
    if holder == file:
        return None
    other = holder[1].decode("utf-8", "backslashreplace")
    return Refusal(
        "KeyConflict",
        f"its key {one.key} in {one.destination} is already that of {other} (route {holder[0]}): "
        "rename one of the two, or tell them apart in the route's key template",
    )


def _columns(one: Settled, refusal: Refusal | None, now: float) -> tuple[object, ...]:
    """The columns that ``admit_new`` and ``admit_changed`` begin with."""
    reason = Diagnosis(Kind.FILE, refusal.code, refusal.message) if refusal else None
    return (
        one.destination,
        one.key,
        refusal is None,
        State.QUARANTINED if refusal else State.PENDING,
        one.sighting.fingerprint.size,
        rows.fingerprint_text(one.sighting.fingerprint),
        one.reason,
        now,
        rows.diagnosis_text(reason),
        now,
        now,
    )


def vanish(connection: sqlite3.Connection, vanishing: Vanishing) -> None:
    """What had not been sent yet is gone; what is under way or delivered stays."""
    files = [(vanishing.route, path) for path in vanishing.paths]
    connection.executemany(SQL["vanish"], [(vanishing.now, *file) for file in files])
    connection.executemany(SQL["forget_multipart_of"], files)
