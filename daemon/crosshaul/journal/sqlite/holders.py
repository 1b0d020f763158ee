"""Whose a key is. A key is held as long as its holder lives: configured, there, and in the state that holds it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from crosshaul.display import text
from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.lookup import RecordLookup
from crosshaul.journal.sqlite.queries import SQL
from crosshaul.model import Denial, Refusal, Settled, State

Key = tuple[int, str]
"""Place and object key."""
_OWN, _SHARED = 1, 2
"""What ``holds_key`` says of the one that has a key, and of those of equal content that have it too."""
_LEAVES_A_RECEIPT = frozenset({State.QUARANTINED, None})
"""States (None = no record yet) in which a file may take over what another was given for the same bytes."""


class _Holder(NamedTuple):
    """The file that has a key, by the journal."""

    id: int
    route: str
    path: bytes


class _Circumstances(NamedTuple):
    """What decides whether a holder lives; the order is that of the query ``holder``."""

    state: str
    fingerprint: str
    path: bytes
    source_gone: int
    by_content: int
    root: bytes | None
    route_gone: int


class Holders:
    """The holders of the keys that a batch asks for, and what the batch changes about them."""

    def __init__(self, connection: sqlite3.Connection, news: Iterable[Settled]) -> None:
        self.handed_over: list[tuple[int]] = []
        """Records that lose their key to another file."""
        self.receipts: list[tuple[int, str, bytes]] = []
        """Records whose receipt is good for another file as well, and that file."""
        self._connection = connection
        wanted = rows.keys_text((one.plan.place, one.key) for one in news if one.refusal is None)
        # A file of the batch itself stands for its record once it has taken its key.
        self._holders: dict[Key, _Holder | Settled] = {
            (place, key): _Holder(file, route, path)
            for place, key, file, route, path in connection.execute(SQL["admission_holders"], (wanted,))
        }

    def leave(self, key: Key) -> None:
        """Its holder goes to another key, or can't be sent any more."""
        self._holders.pop(key, None)

    def take(self, one: Settled, record: RecordLookup | None) -> int | Denial:
        """Give the file its key: how it holds it; or the reason why it can't, which is a living holder."""
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
        found = _Circumstances._make(self._connection.execute(SQL["holder"], (holder.id,)).fetchone())
        if one.plan.by_content and found.by_content:
            return _SHARED
        if not (found.route_gone or (found.source_gone and found.state == State.DELIVERED)):
            return _conflict(one, holder.route, holder.path)
        self._holders[key] = one
        self.handed_over.append((holder.id,))
        if (record.state if record else None) in _LEAVES_A_RECEIPT and self._is_same_file(one, found):
            self.receipts.append((holder.id, sighting.route, sighting.path))
        return _OWN

    def inherits(self, one: Settled) -> bool:
        """Whether the file just given its key takes over the receipt with it."""
        return bool(self.receipts) and self.receipts[-1][1:] == (one.sighting.route, one.sighting.path)

    def _is_same_file(self, one: Settled, found: _Circumstances) -> bool:
        """Whether the holder is this very file, under the name that its former route had for it."""
        sighting = one.sighting
        if found.state != State.DELIVERED or found.fingerprint != rows.fingerprint_text(sighting.fingerprint):
            return False
        row = self._connection.execute(SQL["root_of"], (one.plan.id,)).fetchone()
        if row is None or found.root is None:
            # Written before roots were: a route within the other's directory, or that directory itself.
            longer, shorter = sorted((sighting.path, found.path), key=len, reverse=True)
            return longer == shorter or longer.endswith(b"/" + shorter)
        return bytes(row[0]) + b"/" + sighting.path == found.root + b"/" + found.path


def _conflict(one: Settled, route: str, path: bytes) -> Denial:
    other = text(path)
    refusal = Refusal(
        "KeyConflict",
        f"its key {one.key} in {one.destination} is already that of {other} (route {route}): give one of the "
        "two another name, or tell them apart in the route's key template; once the other is deleted or moved away, "
        "this one is sent",
    )
    return Denial(one, refusal, (route, path))
