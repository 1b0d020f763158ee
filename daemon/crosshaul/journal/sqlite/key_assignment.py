"""Assigns object keys to files.

A file holds its key while its route is configured and its source exists, or until it is quarantined or gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from crosshaul.display import text
from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.lookup import RecordLookup
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import Denial, Refusal, Settled, State

Key = tuple[int, str]
"""Place and object key."""
_OWN, _SHARED = 1, 2
"""Values of ``holds_key``: the key is the file's own, or shared with files of equal content."""
_MAY_TAKE_RECEIPT = frozenset({State.QUARANTINED, None})
"""States (None = no record) in which a file may take over the receipt of the same file under another name."""


class _Holder(NamedTuple):
    """The record that has a key."""

    id: int
    route: str
    path: bytes


class _HolderState(NamedTuple):
    """Columns that decide whether a holder keeps its key, in the order of the query ``holder``."""

    state: str
    fingerprint: str
    path: bytes
    source_gone: int
    by_content: int
    root: bytes | None
    route_gone: int


class Holders:
    """Holders of the keys that a batch of files needs, and the changes that the batch makes to them."""

    def __init__(self, connection: sqlite3.Connection, batch: Iterable[Settled]) -> None:
        self.handed_over: list[tuple[int]] = []
        """Ids of records that lose their key to another file."""
        self.receipts: list[tuple[int, str, bytes]] = []
        """Ids of records whose receipt another file takes over, with that file's route and path."""
        self._connection = connection
        wanted = rows.keys_text((one.plan.place, one.key) for one in batch if one.refusal is None)
        # A Settled is a file of this batch that has taken the key.
        self._holders: dict[Key, _Holder | Settled] = {
            (place, key): _Holder(file, route, path)
            for place, key, file, route, path in connection.execute(SQL["admission_holders"], (wanted,))
        }

    def leave(self, key: Key) -> None:
        """Release a key whose holder gets another key, or can't be sent any more."""
        self._holders.pop(key, None)

    def take(self, one: Settled, record: RecordLookup | None) -> int | Denial:
        """Assign the file its key; return its ``holds_key``, or a Denial if another file keeps the key."""
        key, sighting = (one.plan.place, one.key), one.sighting
        holder = self._holders.setdefault(key, one)
        if holder is one:
            return _OWN
        if isinstance(holder, Settled):
            shares = one.plan.by_content and holder.plan.by_content
            return _SHARED if shares else _conflict(one, holder.sighting.route, holder.sighting.path)
        if (holder.route, holder.path) == (sighting.route, sighting.path):
            self._holders[key] = one
            return _OWN
        holder_state = _HolderState._make(self._connection.execute(SQL["holder"], (holder.id,)).fetchone())
        if one.plan.by_content and holder_state.by_content:
            return _SHARED
        if not (holder_state.route_gone or (holder_state.source_gone and holder_state.state == State.DELIVERED)):
            return _conflict(one, holder.route, holder.path)
        self._holders[key] = one
        self.handed_over.append((holder.id,))
        if (record.state if record else None) in _MAY_TAKE_RECEIPT and self._is_same_file(one, holder_state):
            self.receipts.append((holder.id, sighting.route, sighting.path))
        return _OWN

    def inherits(self, one: Settled) -> bool:
        """Return True if the last assigned key came with the receipt of its former holder."""
        return bool(self.receipts) and self.receipts[-1][1:] == (one.sighting.route, one.sighting.path)

    def _is_same_file(self, one: Settled, holder_state: _HolderState) -> bool:
        """Return True if the holder is the same file, under the path that its former route had for it."""
        sighting = one.sighting
        if holder_state.state != State.DELIVERED or holder_state.fingerprint != rows.fingerprint_text(
            sighting.fingerprint
        ):
            return False
        row = self._connection.execute(SQL["root_of"], (one.plan.id,)).fetchone()
        if row is None or holder_state.root is None:
            # An older version recorded no root: compare the paths, one root may lie within the other.
            longer, shorter = sorted((sighting.path, holder_state.path), key=len, reverse=True)
            return longer == shorter or longer.endswith(b"/" + shorter)
        return bytes(row[0]) + b"/" + sighting.path == holder_state.root + b"/" + holder_state.path


def _conflict(one: Settled, route: str, path: bytes) -> Denial:
    other = text(path)
    refusal = Refusal(
        "KeyConflict",
        f"its key {one.key} in {one.destination} is already used by {other} (route {route}): rename one of the "
        "two, or change the route's key template so that their keys differ; this file is sent once the other is "
        "deleted or moved away",
    )
    return Denial(one, refusal, (route, path))
