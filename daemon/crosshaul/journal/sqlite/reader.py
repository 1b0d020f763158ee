"""Reading the journal from any process, with the daemon up or down; and ``requeue``, which ``crosshaul retry`` uses."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from crosshaul.concurrency.clock import SystemClock
from crosshaul.errors import StateDirError
from crosshaul.journal import lock
from crosshaul.journal.sqlite import connect, lookup, plans, rows
from crosshaul.journal.sqlite.claims import multiparts_of
from crosshaul.journal.sqlite.migrate import check_current
from crosshaul.journal.sqlite.queries import SQL
from crosshaul.model import (
    AfterTask,
    ChangedFiles,
    DestinationStatus,
    Fingerprint,
    HeldClaim,
    Place,
    PlanId,
    Record,
    Recorded,
    RouteCounts,
    RoutePlan,
    RouteStatus,
    Settled,
    Sighting,
    State,
)

_PAGE = 1000
_MOST_COUNTED = 100_000


class Reader:
    """A read-only view; each call sees all that was committed before it. Every method may raise StateDirError."""

    def __init__(self, state_dir: Path, connection: sqlite3.Connection) -> None:
        self._state_dir = state_dir
        self._connection = connection

    @classmethod
    def open(cls, state_dir: Path) -> Reader:
        """Open the journal in ``state_dir``; raises StateDirError if there is none, or it can't be read."""
        database = _existing(state_dir)
        with _explained(database):
            connection = connect.open_readable(database)
            try:
                check_current(connection, database)
            except (StateDirError, sqlite3.Error):
                connection.close()
                raise
        return cls(state_dir, connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def daemon_pid(self) -> int | None:
        """The pid of the process that holds ``state_dir``; None if there is none."""
        return lock.holder(self._state_dir)

    def route_counts(self) -> list[RouteCounts]:
        """Counts by route, from counters: never a walk over the files."""
        with self._snapshot() as connection:
            counted: dict[str, dict[State, tuple[int, int]]] = {}
            for route, state, files, size in connection.execute(SQL["tallies"]):
                counted.setdefault(route, {})[State(state)] = (files, size)
            return [_tally(connection, route, counts) for route, counts in counted.items()]

    def destinations(self) -> list[DestinationStatus]:
        """What was last saved of each destination."""
        with self._snapshot() as connection:
            return [rows.destination(row) for row in connection.execute(SQL["destinations"])]

    def routes(self) -> list[RouteStatus]:
        """What was last saved of each route."""
        with self._snapshot() as connection:
            return [rows.route(row) for row in connection.execute(SQL["routes"])]

    def records(
        self, state: State | None = None, route: str | None = None, limit: int | None = None
    ) -> Iterator[Record]:
        """The records in the order in which they were first seen; read page by page, so memory stays small."""
        after, left = 0, limit
        while left is None or left > 0:
            page = self._page(state, route, after, _PAGE if left is None else min(_PAGE, left))
            yield from page
            if len(page) < _PAGE:
                return
            after, left = page[-1].id, None if left is None else left - len(page)

    def uploading(self, limit: int) -> list[Record]:
        """Some of the files that are being sent; by an index, however long the journal is."""
        return self._records("first_uploading", (limit,))

    def held_claims(self, routes: Sequence[str]) -> list[HeldClaim]:
        """All claims of ``routes``; by an index as well."""
        with self._snapshot() as connection:
            return [HeldClaim(*row) for row in connection.execute(SQL["held_claims"], (rows.names_text(routes),))]

    def longest_pending(self, route: str, limit: int) -> list[Record]:
        """The route's files that have waited longest; by an index as well."""
        return self._records("longest_pending", (route, limit))

    def bytes_in_parts(self) -> int:
        """Bytes that S3 has confirmed of files that are not complete yet."""
        with self._snapshot() as connection:
            size: int = connection.execute(SQL["bytes_in_parts"]).fetchone()[0]
        return size

    def quarantined(self, limit: int) -> list[Record]:
        """Some of the files that are set aside; by an index as well."""
        return self._records("first_quarantined", (limit,))

    def find(self, route: str, path: bytes) -> Record | None:
        """The record of a file; ``path`` is relative to the route's root."""
        return next(iter(self._records("record_of_path", (route, path))), None)

    def by_key(self, place: Place, key: str) -> Record | None:
        """The record of the file whose object this is."""
        return next(iter(self._records("record_of_key", (*place, key))), None)

    def plan(self, wanted: RoutePlan) -> PlanId:
        """How the journal numbers a plan and its place; a number that no record has where it does not know it."""
        with self._snapshot() as connection:
            return plans.find(connection, wanted)

    def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int = 0) -> ChangedFiles:
        """See ``Journal.filter_changed``."""
        with self._snapshot() as connection:
            return lookup.filter_changed(connection, route, sightings, plan)

    def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """See ``Journal.recorded``."""
        with self._snapshot() as connection:
            return lookup.recorded(connection, route, paths)

    def leftovers(self, route: str, plan: int, after: int) -> tuple[Sequence[bytes], int | None]:
        """See ``Journal.leftovers``."""
        with self._snapshot() as connection:
            return plans.leftovers(connection, route, plan, after)

    def is_in_force(self, wanted: RoutePlan) -> bool:
        """Whether the route went by this plan last."""
        with self._snapshot() as connection:
            found = connection.execute(SQL["is_in_force"], (wanted.route, wanted.digest)).fetchone()[0]
        return bool(found)

    def delivered_of_other_plans(
        self, route: str, plan: int, after: int
    ) -> tuple[list[tuple[Sighting, Place, str]], int | None]:
        """Delivered files of ``route`` that another plan judged, each with the place and key of its receipt.

        Some of them, and where to go on; those whose source is known to be gone are left out. Begin with 0.
        """
        with self._snapshot() as connection:
            return plans.delivered_of_other_plans(connection, route, plan, after)

    def to_send(self, route: str, seen: Sequence[Settled]) -> list[Settled]:
        """Those of ``seen`` (all of ``route``) that are not where their plan has them go."""
        with self._snapshot() as connection:
            return lookup.to_send(connection, route, seen)

    def next_due(self, in_force: Mapping[str, int]) -> float | None:
        """See ``Journal.next_due``; the plans in force by route."""
        with self._snapshot() as connection:
            found = [
                connection.execute(SQL["next_due"], (route, plan, large, failed)).fetchone()[0]
                for route, plan in in_force.items()
                for large in (False, True)
                for failed in (False, True)
            ]
        return min((due for due in found if due is not None), default=None)

    def due_after_tasks(self, route: str, now: float, limit: int) -> list[AfterTask]:
        """See ``Journal.due_after_tasks``."""
        with self._snapshot() as connection:
            return [rows.after_task(row) for row in connection.execute(SQL["due_after_tasks"], (route, now, limit))]

    def next_after_due(self, route: str) -> float | None:
        """See ``Journal.next_after_due``."""
        with self._snapshot() as connection:
            due: float | None = connection.execute(SQL["next_after_due"], (route,)).fetchone()[0]
        return due

    def last_after_due(self, route: str) -> float | None:
        """See ``Journal.last_after_due``."""
        with self._snapshot() as connection:
            due: float | None = connection.execute(SQL["last_after_due"], (route,)).fetchone()[0]
        return due

    def count_overdue(self, route: str, by: float) -> int:
        """See ``Journal.count_overdue``; by an index, and counted up to 100,000."""
        with self._snapshot() as connection:
            found: int = connection.execute(SQL["count_overdue"], (route, by, _MOST_COUNTED)).fetchone()[0]
        return found

    def first_overdue(self, route: str, limit: int) -> list[Record]:
        """Some of the route's delivered files whose source was to be deleted or moved, and is there still."""
        return self._records("first_overdue", (route, limit))

    def first_not_removed(self, route: str) -> Record | None:
        """One of the route's delivered files that was looked at to be deleted or moved, and is there still."""
        return next(iter(self._records("first_not_removed", (route,))), None)

    def delivery_states(self, route: str, wanted: Sequence[tuple[bytes, Fingerprint | None]]) -> list[State | None]:
        """Where each file is in a route, by an index; None = it has no record.

        One that was delivered in another state than the fingerprint given, or is to be judged anew, counts as CHANGED.
        """
        with self._snapshot() as connection:
            found = lookup.known(connection, route, [path for path, _ in wanted])
            in_force = {row[0] for row in connection.execute(SQL["plans_in_force"])}
        return [_standing(found.get(path), fingerprint, in_force) for path, fingerprint in wanted]

    def undelivered_paths(self, route: str, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """A path for each fingerprint under which the same file waits to be delivered in ``route``.

        Passes over all that waits in the route.
        """
        wanted = rows.names_text(map(rows.fingerprint_text, fingerprints))
        with self._snapshot() as connection:
            found = connection.execute(SQL["undelivered_paths"], (route, wanted)).fetchall()
        return {rows.fingerprint(text): path for path, text in found}

    def _page(self, state: State | None, route: str | None, after: int, limit: int) -> list[Record]:
        return self._records("records", {"after": after, "state": state, "route": route, "limit": limit})

    def _records(self, query: str, values: Sequence[object] | dict[str, object]) -> list[Record]:
        with self._snapshot() as connection:
            cursor = connection.cursor()
            cursor.row_factory = sqlite3.Row
            found = cursor.execute(SQL[query], values).fetchall()
            multiparts = multiparts_of(connection, rows.ids_text(row["id"] for row in found))
            return [rows.record(row, multiparts.get(row["id"])) for row in found]

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """One transaction, so that several queries tell of the same moment."""
        with _explained(self._state_dir / connect.DATABASE):
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")


def _standing(record: lookup.RecordLookup | None, fingerprint: Fingerprint | None, in_force: set[int]) -> State | None:
    if record is None:
        return None
    other = fingerprint is not None and record.fingerprint != rows.fingerprint_text(fingerprint)
    judged = not record.recheck and (record.plan in in_force or not in_force)
    return State.CHANGED if record.state == State.DELIVERED and (other or not judged) else State(record.state)


def _tally(connection: sqlite3.Connection, route: str, counts: dict[State, tuple[int, int]]) -> RouteCounts:
    oldest = connection.execute(SQL["oldest_pending"], (route,)).fetchone()[0]
    return RouteCounts(
        route=route,
        files={state: counts.get(state, (0, 0))[0] for state in State},
        pending_bytes=counts.get(State.PENDING, (0, 0))[1],
        delivered_bytes=counts.get(State.DELIVERED, (0, 0))[1],
        oldest_pending_at=oldest,
    )


def requeue(state_dir: Path, selections: Sequence[tuple[str, bytes]] | None) -> int:
    """Put quarantined files back in the queue, all or those of the given (route, path); returns how many.

    A file that was refused, or whose key is another's, has no key to be sent under: the next scan judges it anew.
    Safe beside a running daemon. Raises StateDirError.
    """
    database = _existing_file(state_dir)
    with _explained(database), contextlib.closing(connect.open_writable(database)) as connection:
        check_current(connection, database)
        connection.execute("BEGIN IMMEDIATE")
        now = SystemClock().now()
        if selections is None:
            changed = connection.execute(SQL["requeue_all"], (now,)).rowcount
        else:
            changed = connection.executemany(SQL["requeue_one"], [(now, *one) for one in selections]).rowcount
        connection.execute("COMMIT")
    return changed


def resend(state_dir: Path, selections: Sequence[tuple[str, bytes]]) -> int:
    """Put delivered files back in the queue, for the place that they went to; returns how many of them there were.

    Safe beside a running daemon. Raises StateDirError.
    """
    database, changed = _existing_file(state_dir), 0
    with _explained(database), contextlib.closing(connect.open_writable(database)) as connection:
        check_current(connection, database)
        for start in range(0, len(selections), _PAGE):
            now = SystemClock().now()
            connection.execute("BEGIN IMMEDIATE")
            rows_of = [(now, *one) for one in selections[start : start + _PAGE]]
            changed += connection.executemany(SQL["resend"], rows_of).rowcount
            connection.execute("COMMIT")
    return changed


def _existing(state_dir: Path) -> Path:
    database = state_dir / connect.DATABASE
    try:
        found = database.is_file()
    except OSError as error:
        raise StateDirError(f"state_dir {state_dir} can't be read: {error.strerror}.") from error
    if not found:
        raise StateDirError(f"There is no journal in {state_dir} yet: start the daemon, or check state_dir.")
    return database


def _existing_file(state_dir: Path) -> Path:
    """The journal, for who writes to it."""
    database = _existing(state_dir)
    if database.is_symlink():
        # SQLite would follow it, and whoever may write in state_dir have root write elsewhere.
        raise StateDirError(f"The journal {database} is a symbolic link: put the file itself there.")
    return database


@contextlib.contextmanager
def _explained(database: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise connect.storage_error(database, error) from error
    except rows.CorruptRowError as error:
        raise connect.damaged(database, str(error)) from error
