"""Writes the files that discovery found: settled ones, and ones that disappeared."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.journal.sqlite import abandoned, bulk, rows
from crosshaul.journal.sqlite.key_assignment import Holders
from crosshaul.journal.sqlite.lookup import RecordLookup, is_changed, lookup, stays
from crosshaul.journal.sqlite.sql_files import SQL
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
    """The rows to write, collected so that each kind is one statement."""

    released: list[tuple[int]] = field(default_factory=list)
    offered: list[tuple[int, str, int]] = field(default_factory=list)
    replanned: list[tuple[object, ...]] = field(default_factory=list)
    new: list[tuple[object, ...]] = field(default_factory=list)
    changed: list[tuple[object, ...]] = field(default_factory=list)
    restarted: list[int] = field(default_factory=list)
    denied: list[Denial] = field(default_factory=list)

    def write(self, connection: sqlite3.Connection, holders: Holders) -> None:
        """Write the rows: keys are released before other files take them, and offered after the whole batch."""
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
    """Queue new and changed files; quarantine, and return, those that were refused or whose key another file has."""
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
    to_decide = [one for path, one in files.items() if _needs_decision(one, records.get(path), changes)]
    holders = Holders(connection, to_decide)
    for one in to_decide:
        _decide(one, records.get(one.sighting.path), holders, changes, now)
    changes.write(connection, holders)
    return changes.denied


def _needs_decision(one: Settled, record: RecordLookup | None, changes: _AdmissionRows) -> bool:
    """Return True for a new or changed file. A file with the same place and key only gets the new plan."""
    if record is None:
        return True
    if not is_changed(record, rows.fingerprint_text(one.sighting.fingerprint), one.plan.id):
        return False
    if stays(one, record):
        changes.replanned.append((one.destination, one.plan.id, record.id))
        return False
    return True


def _decide(one: Settled, record: RecordLookup | None, holders: Holders, changes: _AdmissionRows, now: float) -> None:
    wanted = (one.plan.place, one.key)
    held = (record.place, record.key) if record and record.holds_key else None
    if record and held and (one.refusal or held != wanted):
        if record.holds_key == 1:
            holders.leave(held)
        changes.released.append((record.id,))
        changes.offered.append((*held, record.id))
    result = Denial(one, one.refusal) if one.refusal else holders.take(one, record)
    state, refusal = State.PENDING, None
    if isinstance(result, Denial):
        changes.denied.append(result)
        state, refusal, result = State.QUARANTINED, result.refusal, 0
    elif holders.receipts and holders.inherits(one):
        state = State.QUARANTINED  # until take_receipt, in the same transaction
    columns = _columns(one, result, state, refusal, now)
    if record is None:
        changes.new.append((*columns, now, one.sighting.route, one.sighting.path))
        return
    if record.state != State.UPLOADING:
        check_transition(record.id, State(record.state), state)
    keeps_key = held == wanted and not refusal
    kept_receipt = keeps_key and one.sighting.fingerprint.is_same_but_ctime(rows.fingerprint(record.fingerprint))
    changes.changed.append((*columns, keeps_key, kept_receipt, record.id))
    changes.restarted.append(record.id)


def _columns(one: Settled, holds: int, state: State, refusal: Refusal | None, now: float) -> tuple[object, ...]:
    """Return the first columns of ``admit_new`` and ``admit_changed``."""
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
    """Mark undelivered files as gone, and the sources of delivered ones. Files that are being sent stay."""
    files = [(disappearance.route, path) for path in disappearance.paths]
    connection.executemany(SQL["mark_gone"], [(disappearance.now, *file) for file in files])
    abandoned.abandon_gone(connection)
    connection.executemany(SQL["source_gone"], files)
    connection.executemany(SQL["offer_keys_of_paths"], files)


def mark_excluded(connection: sqlite3.Connection, disappearance: Disappearance) -> None:
    """Mark undelivered files as gone; delivered files stay, and release their keys."""
    files = [(disappearance.route, path) for path in disappearance.paths]
    reason = rows.diagnosis_text(Diagnosis(FaultKind.FILE, "Excluded", "the route does not select it any more"))
    connection.executemany(SQL["mark_excluded"], [(disappearance.now, reason, *file) for file in files])
    abandoned.abandon_gone(connection)
