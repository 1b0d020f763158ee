"""The journal's calls for the status page, metrics and commands."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from crosshaul.journal.commit_stats import CommitStats
from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.journal.sqlite.store_base import StoreBase
from crosshaul.journal.sqlite.write_batch import one_by_one
from crosshaul.model import DestinationStatus, Record, RouteCounts, RouteStatus


def _save_route(connection: sqlite3.Connection, status: RouteStatus) -> None:
    connection.execute(SQL["save_route"], rows.route_columns(status))


def _save_destination(connection: sqlite3.Connection, status: DestinationStatus) -> None:
    connection.execute(SQL["save_destination"], rows.destination_columns(status))


_SAVE_ROUTE = one_by_one(_save_route)
_SAVE_DESTINATION = one_by_one(_save_destination)


class StatusStore(StoreBase):
    """The calls about statuses, counts and records."""

    @property
    def last_error(self) -> str | None:
        """The error of the last write; None once one succeeds."""
        return None if self._writer.last_error is None else str(self._writer.last_error)

    @property
    def commits(self) -> int:
        """Number of commits since it was opened."""
        return self._writer.commits

    @property
    def last_commit(self) -> CommitStats | None:
        """Duration and units of the last transaction."""
        return self._writer.last_commit

    def on_commit(self, callback: Callable[[CommitStats], None] | None) -> None:
        """Call ``callback`` in the loop after each commit."""
        self._writer.on_commit = callback

    async def save_route(self, status: RouteStatus) -> None:
        """Keep a route's status, for other processes."""
        await self._writer.execute(_SAVE_ROUTE, status)

    async def save_destination(self, status: DestinationStatus) -> None:
        """Keep a destination's status, for the next start and for other processes."""
        await self._writer.execute(_SAVE_DESTINATION, status)

    async def routes(self) -> list[RouteStatus]:
        """See ``StatusReader.routes``."""
        return await self._read(self._reader.routes)

    async def destinations(self) -> list[DestinationStatus]:
        """See ``StatusReader.destinations``."""
        return await self._read(self._reader.destinations)

    async def route_counts(self) -> list[RouteCounts]:
        """See ``StatusReader.route_counts``."""
        return await self._read(self._reader.route_counts)

    async def uploading(self, limit: int) -> list[Record]:
        """See ``StatusReader.uploading``."""
        return await self._read(lambda: self._reader.uploading(limit))

    async def longest_pending(self, route: str, limit: int) -> list[Record]:
        """See ``StatusReader.longest_pending``."""
        return await self._read(lambda: self._reader.longest_pending(route, limit))

    async def quarantined(self, limit: int) -> list[Record]:
        """See ``StatusReader.quarantined``."""
        return await self._read(lambda: self._reader.quarantined(limit))

    async def bytes_in_parts(self) -> int:
        """See ``StatusReader.bytes_in_parts``."""
        return await self._read(self._reader.bytes_in_parts)

    async def find(self, route: str, path: bytes) -> Record | None:
        """See ``StatusReader.find``."""
        return await self._read(lambda: self._reader.find(route, path))
