"""Reads the journal from any process, whether or not the daemon runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.reader_admissions import AdmissionReader
from crosshaul.journal.sqlite.reader_sources import SourceReader
from crosshaul.journal.sqlite.reader_status import StatusReader
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import HeldClaim


class Reader(AdmissionReader, SourceReader, StatusReader):
    """All queries of the journal."""

    def held_claims(self, routes: Sequence[str]) -> list[HeldClaim]:
        """Return all claims of ``routes``, by an index."""
        with self._snapshot() as connection:
            return [HeldClaim(*row) for row in connection.execute(SQL["held_claims"], (rows.names_text(routes),))]

    def next_due(self, in_force: Mapping[str, int]) -> float | None:
        """Return when the next pending file is due, by an index; ``in_force``: the plans' numbers by route."""
        with self._snapshot() as connection:
            due_times = [
                connection.execute(SQL["next_due"], (route, plan, large, failed)).fetchone()[0]
                for route, plan in in_force.items()
                for large in (False, True)
                for failed in (False, True)
            ]
        return min((due for due in due_times if due is not None), default=None)
