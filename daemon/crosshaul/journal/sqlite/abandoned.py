"""Multipart uploads that no claim will complete: they are to be aborted in the bucket."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import AbandonedUpload, Multipart, Place

_MAX_ROWS = 10_000
"""Rows that are kept; the bucket's lifecycle rule removes the uploads beyond them."""
_UNROUTED_SECONDS = 86_400.0
"""Time for which the uploads of a removed route are kept, in case the route comes back."""


def abandon(connection: sqlite3.Connection, files: Sequence[int]) -> None:
    """Forget the uploads of these files, and remember to abort them. Must precede a change of their place."""
    ids = rows.ids_text(files)
    connection.execute(SQL["abandon"], (ids,))
    connection.execute(SQL["drop_multipart"], (ids,))


def abandon_gone(connection: sqlite3.Connection) -> None:
    """Forget the uploads of all files that are gone, and remember to abort them."""
    connection.execute(SQL["abandon_gone"])
    connection.execute(SQL["forget_gone"])


class DueRequest(NamedTuple):
    """Arguments of ``abandoned_due``."""

    place: Place
    limit: int
    now: float


class AbortAttempt(NamedTuple):
    """Arguments of ``record_abort``."""

    upload: AbandonedUpload
    due_at: float | None


def due(connection: sqlite3.Connection, request: DueRequest) -> list[AbandonedUpload]:
    """Return uploads that are to be aborted now."""
    if connection.execute(SQL["abandon_unrouted"], (request.now - _UNROUTED_SECONDS,)).rowcount:
        connection.execute(SQL["forget_abandoned"])
    connection.execute(SQL["bound_abandoned"], (_MAX_ROWS,))
    uploads = connection.execute(SQL["abandoned_due"], (*request.place, request.now, request.limit))
    return [AbandonedUpload(*row) for row in uploads]


def record_abort(connection: sqlite3.Connection, attempt: AbortAttempt) -> None:
    """Record an attempt to abort."""
    place, key, upload_id, _ = attempt.upload
    if attempt.due_at is None:
        connection.execute(SQL["abandoned_over"], (place, key, upload_id))
    else:
        connection.execute(SQL["abandoned_again"], (attempt.due_at, place, key, upload_id))


def mark_aborted(connection: sqlite3.Connection, upload: Multipart) -> None:
    """Forget an upload that its own claim aborted."""
    connection.execute(SQL["aborted"], (upload.key, upload.upload_id))
