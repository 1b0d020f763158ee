"""Reads counts, statuses and records, for commands and the status page."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.reader_base import ReaderBase
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import DestinationStatus, Place, Record, RouteCounts, RouteStatus, State

_PAGE_ROWS = 1000


class StatusReader(ReaderBase):
    """The queries of commands and the status page. All but ``records`` use an index or counters."""

    def route_counts(self) -> list[RouteCounts]:
        """Return the counts of each route."""
        with self._snapshot() as connection:
            counted: dict[str, dict[State, tuple[int, int]]] = {}
            for route, state, files, size in connection.execute(SQL["route_counts"]):
                counted.setdefault(route, {})[State(state)] = (files, size)
            return [_route_counts(connection, route, counts) for route, counts in counted.items()]

    def destinations(self) -> list[DestinationStatus]:
        """Return the last saved status of each destination."""
        with self._snapshot() as connection:
            return [rows.destination(row) for row in connection.execute(SQL["destinations"])]

    def routes(self) -> list[RouteStatus]:
        """Return the last saved status of each route."""
        with self._snapshot() as connection:
            return [rows.route(row) for row in connection.execute(SQL["routes"])]

    def records(
        self, state: State | None = None, route: str | None = None, limit: int | None = None
    ) -> Iterator[Record]:
        """Yield the records in the order in which they were first seen, read page by page."""
        after, left = 0, limit
        while left is None or left > 0:
            page = self._page(state, route, after, _PAGE_ROWS if left is None else min(_PAGE_ROWS, left))
            yield from page
            if len(page) < _PAGE_ROWS:
                return
            after, left = page[-1].id, None if left is None else left - len(page)

    def _page(self, state: State | None, route: str | None, after: int, limit: int) -> list[Record]:
        return self._records("records", {"after": after, "state": state, "route": route, "limit": limit})

    def uploading(self, limit: int) -> list[Record]:
        """Return some of the files that are being sent."""
        return self._records("first_uploading", (limit,))

    def longest_pending(self, route: str, limit: int) -> list[Record]:
        """Return the route's files that have been pending longest."""
        return self._records("longest_pending", (route, limit))

    def quarantined(self, limit: int) -> list[Record]:
        """Return some of the quarantined files."""
        return self._records("first_quarantined", (limit,))

    def bytes_in_parts(self) -> int:
        """Return the number of bytes that S3 has confirmed of unfinished multipart uploads."""
        with self._snapshot() as connection:
            size: int = connection.execute(SQL["bytes_in_parts"]).fetchone()[0]
        return size

    def find(self, route: str, path: bytes) -> Record | None:
        """Return the record of a file; ``path`` is relative to the route's root."""
        return self._first_record("record_of_path", (route, path))

    def by_key(self, place: Place, key: str) -> Record | None:
        """Return the record of the file that has this key."""
        return self._first_record("record_of_key", (*place, key))


def _route_counts(connection: sqlite3.Connection, route: str, counts: dict[State, tuple[int, int]]) -> RouteCounts:
    oldest = connection.execute(SQL["oldest_pending"], (route,)).fetchone()[0]
    return RouteCounts(
        route=route,
        files={state: counts.get(state, (0, 0))[0] for state in State},
        pending_bytes=counts.get(State.PENDING, (0, 0))[1],
        delivered_bytes=counts.get(State.DELIVERED, (0, 0))[1],
        oldest_pending_at=oldest,
    )
