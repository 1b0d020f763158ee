"""Reads which sources of delivered files are to be deleted or moved."""

from __future__ import annotations

from collections.abc import Sequence

from crosshaul.journal.sqlite import lookup, rows
from crosshaul.journal.sqlite.reader_base import ReaderBase
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import AfterTask, Fingerprint, Record, State

_MAX_COUNTED_FILES = 100_000


class SourceReader(ReaderBase):
    """The queries about sources of delivered files. All but ``undelivered_paths`` use an index."""

    def due_after_tasks(self, route: str, now: float, limit: int) -> list[AfterTask]:
        """Return the tasks of ``route`` that are due by ``now``, oldest due first."""
        with self._snapshot() as connection:
            return [rows.after_task(row) for row in connection.execute(SQL["due_after_tasks"], (route, now, limit))]

    def next_after_due(self, route: str) -> float | None:
        """Return the due time of the route's next task, or None."""
        return self._time("next_after_due", route)

    def last_after_due(self, route: str) -> float | None:
        """Return the due time of the route's last task, or None."""
        return self._time("last_after_due", route)

    def _time(self, query: str, route: str) -> float | None:
        with self._snapshot() as connection:
            due: float | None = connection.execute(SQL[query], (route,)).fetchone()[0]
        return due

    def count_overdue(self, route: str, by: float) -> int:
        """Count the route's sources that failed to be removed, or were due ``by`` then untried; at most 100,000."""
        with self._snapshot() as connection:
            files: int = connection.execute(SQL["count_overdue"], (route, by, _MAX_COUNTED_FILES)).fetchone()[0]
        return files

    def first_overdue(self, route: str, limit: int) -> list[Record]:
        """Return some of the route's delivered files whose source was to be removed, and is still there."""
        return self._records("first_overdue", (route, limit))

    def first_not_removed(self, route: str) -> Record | None:
        """Return one of the route's delivered files whose removal was tried, and whose source is still there."""
        return self._first_record("first_not_removed", (route,))

    def delivery_states(self, route: str, wanted: Sequence[tuple[bytes, Fingerprint | None]]) -> list[State | None]:
        """Return the state of each file in a route; None = it has no record.

        A file that was delivered with another fingerprint than the given one, or under another plan, is CHANGED.
        """
        with self._snapshot() as connection:
            records = lookup.lookup(connection, route, [path for path, _ in wanted])
            in_force = {row[0] for row in connection.execute(SQL["plans_in_force"])}
        return [_delivery_state(records.get(path), fingerprint, in_force) for path, fingerprint in wanted]

    def undelivered_paths(self, route: str, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """Return, for each fingerprint, a path of ``route`` under which the same file is not delivered yet.

        Reads all undelivered records of the route.
        """
        wanted = rows.names_text(map(rows.fingerprint_text, fingerprints))
        with self._snapshot() as connection:
            paths = connection.execute(SQL["undelivered_paths"], (route, wanted)).fetchall()
        return {rows.fingerprint(text): path for path, text in paths}


def _delivery_state(
    record: lookup.RecordLookup | None, fingerprint: Fingerprint | None, in_force: set[int]
) -> State | None:
    if record is None:
        return None
    other = fingerprint is not None and record.fingerprint != rows.fingerprint_text(fingerprint)
    judged = not record.recheck and (record.plan in in_force or not in_force)
    return State.CHANGED if record.state == State.DELIVERED and (other or not judged) else State(record.state)
