"""The journal's calls about sources of delivered files: those to delete or move, and the results."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from crosshaul.errors import Diagnosis
from crosshaul.journal.sqlite import outcomes
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.journal.sqlite.store_base import StoreBase
from crosshaul.journal.sqlite.write_batch import one_by_one
from crosshaul.model import AfterAction, AfterTask, Fingerprint, State


def _cap_after_due(connection: sqlite3.Connection, argument: tuple[float, str, float]) -> None:
    connection.execute(SQL["cap_after_due"], argument)


def _retry_overdue(connection: sqlite3.Connection, argument: tuple[float, str]) -> None:
    connection.execute(SQL["retry_overdue"], argument)


_CAP_AFTER_DUE = one_by_one(_cap_after_due)
_RETRY_OVERDUE = one_by_one(_retry_overdue)
_SEND_AGAIN = one_by_one(outcomes.send_again)


class SourceStore(StoreBase):
    """The calls about sources of delivered files."""

    async def due_after_tasks(self, route: str, limit: int, by: float | None = None) -> list[AfterTask]:
        """Return the tasks of ``route`` that are due ``by`` then (None = now), oldest due first."""
        by = self._clock.now() if by is None else by
        return await self._read(lambda: self._reader.due_after_tasks(route, by, limit))

    async def next_after_due(self, route: str) -> float | None:
        """Return when the route's next task is due (seconds since the epoch, may be past), or None."""
        return await self._read(lambda: self._reader.next_after_due(route))

    async def last_after_due(self, route: str) -> float | None:
        """Return when the route's last task is due (seconds since the epoch, may be past), or None."""
        return await self._read(lambda: self._reader.last_after_due(route))

    async def count_overdue(self, route: str, by: float) -> int:
        """See ``SourceReader.count_overdue``."""
        return await self._read(lambda: self._reader.count_overdue(route, by))

    async def delivery_states(
        self, route: str, wanted: Sequence[tuple[bytes, Fingerprint | None]]
    ) -> list[State | None]:
        """See ``SourceReader.delivery_states``."""
        return await self._read(lambda: self._reader.delivery_states(route, wanted))

    async def undelivered_paths(self, route: str, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """See ``SourceReader.undelivered_paths``."""
        return await self._read(lambda: self._reader.undelivered_paths(route, fingerprints))

    async def cap_after_due(self, route: str, latest: float) -> None:
        """Make no task of ``route`` due later than ``latest`` (seconds since the epoch)."""
        await self._writer.execute(_CAP_AFTER_DUE, (latest, route, latest))

    async def retry_overdue(self, route: str) -> None:
        """Make all overdue tasks of ``route`` due now."""
        await self._writer.execute(_RETRY_OVERDUE, (self._clock.now(), route))

    async def finish_after_task(
        self,
        task: AfterTask,
        action: AfterAction | None,
        diagnosis: Diagnosis | None = None,
        due_at: float | None = None,
    ) -> None:
        """Record the result of a task, and when it is due again; does nothing if the file changed since."""
        await self._writer.execute(outcomes.finish_after_tasks, outcomes.AfterReport(task, action, diagnosis, due_at))

    async def send_again(self, task: AfterTask, diagnosis: Diagnosis, due_at: float) -> None:
        """Queue the file as a new generation, due at ``due_at``; does nothing if it changed since."""
        await self._writer.execute(_SEND_AGAIN, outcomes.SendingAgain(task, diagnosis, due_at, self._clock.now()))
        self._notify_due()
