"""What intake writes: files that came to rest, and files that disappeared."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.journal.sqlite import abandoned, bulk, rows
from crosshaul.journal.sqlite.holders import Holders
from crosshaul.journal.sqlite.lookup import RecordLookup, is_changed, lookup, stays
from crosshaul.journal.sqlite.queries import SQL
from crosshaul.journal.sqlite.transitions import check_transition
from crosshaul.model import Denial, Refusal, Settled, State


class Admission(NamedTuple):
    """One call of ``Journal.admit``."""

    settled: Sequence[Settled]
    now: float


class Disappearance(NamedTuple):
    """One call of ``Journal.mark_gone``."""

    route: str
    paths: Sequence[bytes]
    now: float


@dataclass(slots=True)
class _AdmissionRows:
    """The rows to write, gathered so that each kind is one statement."""

    released: list[tuple[int]] = field(default_factory=list)
    offered: list[tuple[int, str, int]] = field(default_factory=list)
    replanned: list[tuple[object, ...]] = field(default_factory=list)
    new: list[tuple[object, ...]] = field(default_factory=list)
    changed: list[tuple[object, ...]] = field(default_factory=list)
    restarted: list[int] = field(default_factory=list)
    denied: list[Denial] = field(default_factory=list)

    def write(self, connection: sqlite3.Connection, holders: Holders) -> None:
        """Keys are let go before others take them, and offered when all of this batch stand where they belong."""
        if self.restarted:
            abandoned.abandon(connection, self.restarted)
        connection.executemany(SQL["release_key"], self.released)
        connection.executemany(SQL["hand_over_key"], holders.handed_over)
        connection.executemany(SQL["admit_replanned"], self.replanned)
        connection.executemany(SQL["admit_changed"], self.changed)
        bulk.run(connection, "admit_new", self.new)
        connection.executemany(SQL["take_receipt"], holders.receipts)
        connection.executemany(SQL["offer_key"], self.offered)


def admit(connection: sqlite3.Connection, admission: Admission) -> list[Denial]:
    """Queue what is new or changed; set aside (and return) what was refused, or whose key is another file's."""
    by_route: dict[str, dict[bytes, Settled]] = {}
    for one in admission.settled:
        by_route.setdefault(one.sighting.route, {})[one.sighting.path] = one
    denied: list[Denial] = []
    for route, files in by_route.items():
        denied += _admit_route(connection, route, files, admission.now)
    return denied


def _admit_route(
    connection: sqlite3.Connection, route: str, files: Mapping[bytes, Settled], now: float
) -> list[Denial]:
    records = lookup(connection, route, list(files))
    changes = _AdmissionRows()
    news = [one for path, one in files.items() if _is_to_judge(one, records.get(path), changes)]
    holders = Holders(connection, news)
    for one in news:
        _judge(one, records.get(one.sighting.path), holders, changes, now)
    changes.write(connection, holders)
    return changes.denied


def _is_to_judge(one: Settled, record: RecordLookup | None, changes: _AdmissionRows) -> bool:
    """Whether it is news. A file that goes where it went before has only its plan brought up to date."""
    if record is None:
        return True
    if not is_changed(record, rows.fingerprint_text(one.sighting.fingerprint), one.plan.id):
        return False
    if stays(one, record):
        changes.replanned.append((one.destination, one.plan.id, record.id))
        return False
    return True


def _judge(one: Settled, record: RecordLookup | None, holders: Holders, changes: _AdmissionRows, now: float) -> None:
    wanted = (one.plan.place, one.key)
    held = (record.place, record.key) if record and record.holds_key else None
    if record and held and (one.refusal or held != wanted):
        if record.holds_key == 1:
            holders.leave(held)
        changes.released.append((record.id,))
        changes.offered.append((*held, record.id))
    answer = Denial(one, one.refusal) if one.refusal else holders.take(one, record)
    state, refusal = State.PENDING, None
    if isinstance(answer, Denial):
        changes.denied.append(answer)
        state, refusal, answer = State.QUARANTINED, answer.refusal, 0
    elif holders.receipts and holders.inherits(one):
        state = State.QUARANTINED  # until it has the receipt, in this very transaction
    columns = _columns(one, answer, state, refusal, now)
    if record is None:
        changes.new.append((*columns, now, one.sighting.route, one.sighting.path))
        return
    if record.state != State.UPLOADING:
        check_transition(record.id, State(record.state), state)
    keeps = held == wanted and not refusal
    stands = keeps and one.sighting.fingerprint.is_same_but_ctime(rows.fingerprint(record.fingerprint))
    changes.changed.append((*columns, keeps, stands, record.id))
    changes.restarted.append(record.id)


def _columns(one: Settled, holds: int, state: State, refusal: Refusal | None, now: float) -> tuple[object, ...]:
    """The columns that ``admit_new`` and ``admit_changed`` begin with."""
    reason = Diagnosis(FaultKind.FILE, refusal.code, refusal.message) if refusal else None
    return (
        one.destination,
        one.key,
        holds,
        state,
        one.sighting.fingerprint.size,
        rows.fingerprint_text(one.sighting.fingerprint),
        one.reason,
        now,
        rows.diagnosis_text(reason),
        now,
        now,
        one.plan.place,
        one.plan.id,
    )


def mark_gone(connection: sqlite3.Connection, disappearance: Disappearance) -> None:
    """What had not been sent yet is gone; what is under way or delivered stays, and what is delivered has no source."""
    files = [(disappearance.route, path) for path in disappearance.paths]
    connection.executemany(SQL["mark_gone"], [(disappearance.now, *file) for file in files])
    abandoned.abandon_gone(connection)
    connection.executemany(SQL["source_gone"], files)
    connection.executemany(SQL["offer_keys_of_paths"], files)


def mark_excluded(connection: sqlite3.Connection, disappearance: Disappearance) -> None:
    """What had not been sent yet won't be; what is delivered stays so, and leaves its key to others."""
    files = [(disappearance.route, path) for path in disappearance.paths]
    why = rows.diagnosis_text(Diagnosis(FaultKind.FILE, "Excluded", "the route does not select it any more"))
    connection.executemany(SQL["mark_excluded"], [(disappearance.now, why, *file) for file in files])
    abandoned.abandon_gone(connection)
