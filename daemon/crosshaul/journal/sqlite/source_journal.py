"""The journal's part for the sources of delivered files: which are to be deleted or moved, and what became of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from crosshaul.concurrency.clock import Clock
from crosshaul.errors import Diagnosis
from crosshaul.journal.sqlite import outcomes
from crosshaul.journal.sqlite.queries import SQL
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.writer import Writer, one_by_one
from crosshaul.model import AfterAction, AfterTask, Fingerprint, State

T = TypeVar("T")


def _bound_after(connection: sqlite3.Connection, argument: tuple[float, str, float]) -> None:
    connection.execute(SQL["cap_after_due"], argument)


def _hasten_after(connection: sqlite3.Connection, argument: tuple[float, str]) -> None:
    connection.execute(SQL["retry_overdue"], argument)


BOUND_AFTER = one_by_one(_bound_after)
HASTEN_AFTER = one_by_one(_hasten_after)
SEND_AGAIN = one_by_one(outcomes.send_again)


class SourceJournal:
    """The calls of ``Journal`` about sources."""

    _clock: Clock
    _writer: Writer
    _reader: Reader

    async def _read(self, question: Callable[[], T]) -> T:
        raise NotImplementedError

    def _tell_due(self) -> None:
        raise NotImplementedError

    async def due_after_tasks(self, route: str, limit: int, by: float | None = None) -> list[AfterTask]:
        """Delivered files of ``route`` whose source is to go ``by`` then (None = now), oldest due first."""
        by = self._clock.now() if by is None else by
        return await self._read(lambda: self._reader.due_after_tasks(route, by, limit))

    async def next_after_due(self, route: str) -> float | None:
        """When ``route``'s next source is to be deleted or moved (seconds since the epoch, may be past), or None."""
        return await self._read(lambda: self._reader.next_after_due(route))

    async def last_after_due(self, route: str) -> float | None:
        """When ``route``'s last source is to be deleted or moved, or None."""
        return await self._read(lambda: self._reader.last_after_due(route))

    async def count_overdue(self, route: str, by: float) -> int:
        """How many of ``route``'s sources could not be deleted or moved so far, or were due ``by`` then untried."""
        return await self._read(lambda: self._reader.count_overdue(route, by))

    async def delivery_states(
        self, route: str, wanted: Sequence[tuple[bytes, Fingerprint | None]]
    ) -> list[State | None]:
        """See ``Reader.delivery_states``."""
        return await self._read(lambda: self._reader.delivery_states(route, wanted))

    async def undelivered_paths(self, route: str, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """See ``Reader.undelivered_paths``."""
        return await self._read(lambda: self._reader.undelivered_paths(route, fingerprints))

    async def cap_after_due(self, route: str, latest: float) -> None:
        """None of ``route``'s sources is due later than ``latest`` (seconds since the epoch)."""
        await self._writer.do(BOUND_AFTER, (latest, route, latest))

    async def retry_overdue(self, route: str) -> None:
        """All overdue sources of ``route`` are looked at again now."""
        await self._writer.do(HASTEN_AFTER, (self._clock.now(), route))

    async def finish_after_task(
        self,
        task: AfterTask,
        action: AfterAction | None,
        diagnosis: Diagnosis | None = None,
        due_at: float | None = None,
    ) -> None:
        """Write down what became of the source, and when it is due again; nothing happens if the file changed since."""
        await self._writer.do(outcomes.finish_after_task, outcomes.AfterReport(task, action, diagnosis, due_at))

    async def send_again(self, task: AfterTask, diagnosis: Diagnosis, due_at: float) -> None:
        """Queue the file as a new generation, due at ``due_at``; nothing happens if it changed since."""
        await self._writer.do(SEND_AGAIN, outcomes.SendingAgain(task, diagnosis, due_at, self._clock.now()))
        self._tell_due()
