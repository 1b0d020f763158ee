"""Writes claims, and the progress of multipart uploads."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from crosshaul.journal.sqlite import abandoned, bulk, rows
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.journal.sqlite.transitions import IllegalTransition
from crosshaul.model import ChecksumKind, Claim, HeldClaim, Multipart, Part, State

_FAILED_FRACTION = 4
"""One of this many claims is for a file that failed before, even while files that did not fail are due."""


class ClaimRequest(NamedTuple):
    """One call of ``Journal.claim``."""

    plans: Mapping[str, int]
    """By route: files that another plan queued are not claimed."""
    small: int
    large: int
    now: float


class Claimer:
    """Claims due files, each route in turn; remembers the turn between calls."""

    def __init__(self) -> None:
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._claims = [0, 0]
        """Number of calls so far that claimed small files, and large ones."""

    def claim(self, connection: sqlite3.Connection, request: ClaimRequest) -> list[Claim]:
        """Claim due files, small ones and large ones, oldest due first within a route."""
        ids = [
            *self._pick(connection, request, request.small, large=False),
            *self._pick(connection, request, request.large, large=True),
        ]
        return take(connection, ids, request.now) if ids else []

    def _pick(self, connection: sqlite3.Connection, request: ClaimRequest, limit: int, *, large: bool) -> list[int]:
        """Return due files: first attempts before repeated ones, which get a quarter of the claims nevertheless."""
        if not limit:
            return []
        fresh = self._in_turn(connection, request, limit, large=large, failed=False)
        kept = (limit + self._claims[large] % _FAILED_FRACTION) // _FAILED_FRACTION
        self._claims[large] += 1
        again = self._in_turn(connection, request, max(kept, limit - len(fresh)), large=large, failed=True)
        return [*fresh[: limit - len(again)], *again]

    def _in_turn(
        self, connection: sqlite3.Connection, request: ClaimRequest, limit: int, *, large: bool, failed: bool
    ) -> list[int]:
        """Return at most ``limit`` due files, oldest first, each route in turn."""
        if not limit:
            return []
        routes = sorted(request.plans, key=lambda route: self._turns.get(route, 0))
        queues = {
            route: deque(bulk.ask(connection, "due", (route, request.plans[route], large, failed, request.now, limit)))
            for route in routes
        }
        picked: list[int] = []
        while queues:
            for route in list(queues):
                if not queues[route]:
                    del queues[route]
                elif len(picked) == limit:
                    return picked
                else:
                    picked.append(queues[route].popleft())
                    self._turn += 1
                    self._turns[route] = self._turn
        return picked


def take(connection: sqlite3.Connection, ids: Sequence[int], now: float) -> list[Claim]:
    """Claim these due files; return the claims in their order."""
    text = rows.ids_text(ids)
    multiparts = multiparts_of(connection, text)
    connection.execute(SQL["claim"], (now, text))
    claimed = bulk.ask(connection, "claimed", (text,))
    previous = _previous_of(connection, [row[0] for row in claimed if row[1] > 1])
    by_id = {row[0]: _claim(row, multiparts.get(row[0]), previous.get(row[0])) for row in claimed}
    return [by_id[file] for file in ids]


@rows.reading
def _claim(row: rows.Row, multipart: Multipart | None, before: rows.Row | None) -> Claim:
    file, generation, route, destination, path, fingerprint, key, attempts, ambiguous, plan, ceiling = row
    seen, name, unsure, restless = rows.fingerprint(fingerprint), bytes.fromhex(path), bool(ambiguous), bool(ceiling)
    last, kept = (None, None) if before is None else (rows.previous(before), rows.kept(before))
    return Claim(
        file, generation, route, destination, name, seen, key, attempts, unsure, multipart, plan, last, restless, kept
    )


def _previous_of(connection: sqlite3.Connection, files: Sequence[int]) -> dict[int, rows.Row]:
    """Return the receipts of the previous contents, as rows."""
    if not files:
        return {}
    receipts = connection.execute(SQL["previous_of"], (rows.ids_text(files),)).fetchall()
    return {row[0]: row for row in receipts}


@rows.reading
def multiparts_of(connection: sqlite3.Connection, ids: str) -> dict[int, Multipart]:
    """Return the unfinished multipart uploads of some files, by file; ``ids`` is a JSON list."""
    begun = connection.execute(SQL["multiparts_of"], (ids,)).fetchall()
    if not begun:
        return {}
    parts: dict[int, list[Part]] = {}
    for row in connection.execute(SQL["parts_of"], (ids,)):
        parts.setdefault(row[0], []).append(rows.part(row))
    return {
        file: Multipart(upload_id, key, part_size, ChecksumKind(kind), tuple(parts.get(file, ())))
        for file, upload_id, key, part_size, kind in begun
    }


class LostClaims(NamedTuple):
    """One call of ``Journal.release_lost``."""

    claims: Sequence[HeldClaim]
    now: float


def release_lost(connection: sqlite3.Connection, lost: LostClaims) -> list[HeldClaim]:
    """Queue files again whose claim is still the given one; return those claims."""
    return [
        one
        for one in lost.claims
        if connection.execute(SQL["release_lost"], (lost.now, one.id, one.generation, one.claimed_at)).rowcount
    ]


def begin_multipart(connection: sqlite3.Connection, argument: tuple[Claim, Multipart]) -> None:
    """Remember an upload, with its parts so far, in place of an earlier one of this file."""
    claim, upload = argument
    if not _holds(connection, claim):
        return
    kind = upload.checksum_kind
    abandoned.abandon(connection, [claim.id])
    connection.execute(SQL["begin_multipart"], (claim.id, upload.upload_id, upload.key, upload.part_size, kind))
    connection.executemany(SQL["add_part"], [rows.part_columns(claim.id, part) for part in upload.parts])


def add_parts(connection: sqlite3.Connection, arguments: Sequence[tuple[Claim, Part]]) -> Sequence[Exception | None]:
    """Remember parts that S3 took; skip those of a stale claim."""
    for claim, part in arguments:
        if _holds(connection, claim):
            connection.execute(SQL["add_part"], rows.part_columns(claim.id, part))
    return [None] * len(arguments)


def drop_multipart(connection: sqlite3.Connection, claim: Claim) -> None:
    """Forget the upload and its parts, and remember to abort it."""
    if _holds(connection, claim):
        abandoned.abandon(connection, [claim.id])


def drop_kept_receipt(connection: sqlite3.Connection, claim: Claim) -> None:
    """Forget the kept receipt: from now on something may be sent to the key.

    Also for a stale claim, because its upload replaces the object under the same key.
    """
    connection.execute(SQL["drop_kept_receipt"], (claim.id,))


def _holds(connection: sqlite3.Connection, claim: Claim) -> bool:
    """Return False if the claim is stale; raises IllegalTransition if the file is not claimed."""
    row = next(iter(bulk.ask(connection, "claim_states", (rows.ids_text([claim.id]),))), None)
    if row is None or row[1] != State.UPLOADING or row[2] != claim.generation:
        raise IllegalTransition(f"record {claim.id}: not claimed in generation {claim.generation}")
    return bool(row[3] == claim.generation)
