"""The journal's part for uploads in parts that nobody completes any more: which are to be aborted in the bucket."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from crosshaul.concurrency.clock import Clock
from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.queries import SQL
from crosshaul.journal.sqlite.writer import Writer, one_by_one
from crosshaul.model import AbandonedUpload, Multipart, Place

_MOST = 10_000
"""Rows that are kept; beyond them the bucket's lifecycle rule has to do."""
_UNROUTED_SECONDS = 86_400.0
"""So long the parts of a file whose route is not configured any more are kept: it may come back."""


def abandon(connection: sqlite3.Connection, files: Sequence[int]) -> None:
    """Forget the uploads of these files, and remember to abort them; before their records go to another place."""
    ids = rows.ids_text(files)
    connection.execute(SQL["abandon"], (ids,))
    connection.execute(SQL["drop_multipart"], (ids,))


def abandon_gone(connection: sqlite3.Connection) -> None:
    """The same for all files that are gone."""
    if connection.execute(SQL["abandon_gone"]).rowcount:
        connection.execute(SQL["forget_gone"])


class _Asked(NamedTuple):
    place: Place
    limit: int
    now: float


class _Tried(NamedTuple):
    upload: AbandonedUpload
    due_at: float | None


def _due(connection: sqlite3.Connection, asked: _Asked) -> list[AbandonedUpload]:
    if connection.execute(SQL["abandon_unrouted"], (asked.now - _UNROUTED_SECONDS,)).rowcount:
        connection.execute(SQL["forget_abandoned"])
    connection.execute(SQL["bound_abandoned"], (_MOST,))
    found = connection.execute(SQL["abandoned_due"], (*asked.place, asked.now, asked.limit))
    return [AbandonedUpload(*row) for row in found]


def _settle(connection: sqlite3.Connection, tried: _Tried) -> None:
    place, key, upload_id, _ = tried.upload
    if tried.due_at is None:
        connection.execute(SQL["abandoned_over"], (place, key, upload_id))
    else:
        connection.execute(SQL["abandoned_again"], (tried.due_at, place, key, upload_id))


def _aborted(connection: sqlite3.Connection, upload: Multipart) -> None:
    connection.execute(SQL["aborted"], (upload.key, upload.upload_id))


_DUE, _SETTLE, _ABORTED = one_by_one(_due), one_by_one(_settle), one_by_one(_aborted)


class AbandonedJournal:
    """The calls of ``Journal`` about uploads to abort."""

    _clock: Clock
    _writer: Writer

    async def abandoned_due(self, place: Place, limit: int) -> list[AbandonedUpload]:
        """Uploads in ``place`` that are to be aborted now, those left out that a claim may be at still."""
        return await self._writer.do(_DUE, _Asked(place, limit, self._clock.now()))

    async def mark_aborted(self, upload: Multipart) -> None:
        """Who gave it up has aborted it already."""
        await self._writer.do(_ABORTED, upload)

    async def record_abort(self, upload: AbandonedUpload, due_at: float | None = None) -> None:
        """Write down that it was tried to abort it: when it is tried again, or None if that is over."""
        await self._writer.do(_SETTLE, _Tried(upload, due_at))
