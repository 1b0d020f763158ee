"""The journal as the daemon uses it: everything that is awaited here is on disk when it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from crosshaul.concurrency.clock import Clock
from crosshaul.errors import StateDirError, StateDirUnavailableError
from crosshaul.journal import lock
from crosshaul.journal.canary_choice import CanaryCriteria
from crosshaul.journal.sqlite import admission, canary, claims, connect, outcomes, plans, rows
from crosshaul.journal.sqlite.abandoned import AbandonedJournal
from crosshaul.journal.sqlite.migrate import migrate
from crosshaul.journal.sqlite.queries import SQL
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.source_journal import SourceJournal
from crosshaul.journal.sqlite.writer import CommitStats, Writer, one_by_one
from crosshaul.journal.state_dir import prepare, private_file
from crosshaul.model import (
    ChangedFiles,
    Claim,
    Denial,
    DestinationStatus,
    HeldClaim,
    Multipart,
    Outcome,
    Part,
    Place,
    PlanId,
    Record,
    Recorded,
    RouteCounts,
    RoutePlan,
    RouteStatus,
    Settled,
    Sighting,
    State,
)

T = TypeVar("T")

_ADMIT_AT_ONCE = 1000
"""Files per unit of work, so that a large scan never holds up the outcomes of uploads for long."""

_BACKLOG_ON_A_FULL_DISK = 256
"""Files to be sent beyond which nothing is queued while the reserve is spent: receipts need the room that is left."""


def _make_due(connection: sqlite3.Connection, argument: tuple[float, str]) -> None:
    connection.execute(SQL["make_due"], argument)


def _reclaim(connection: sqlite3.Connection, argument: tuple[float, str]) -> None:
    connection.execute(SQL["reclaim"], argument)


def _save_route(connection: sqlite3.Connection, status: RouteStatus) -> None:
    connection.execute(SQL["save_route"], rows.route_columns(status))


def _save_destination(connection: sqlite3.Connection, status: DestinationStatus) -> None:
    connection.execute(SQL["save_destination"], rows.destination_columns(status))


_APPLY = one_by_one(plans.apply)
_VANISH = one_by_one(admission.vanish)
_EXCLUDE = one_by_one(admission.exclude)
_BEGIN_MULTIPART = one_by_one(claims.begin_multipart)
_DROP_MULTIPART = one_by_one(claims.drop_multipart)
_DROP_KEPT_RECEIPT = one_by_one(claims.drop_kept_receipt)
_CLAIM_CANARY = one_by_one(canary.claim_canary)
_MAKE_DUE = one_by_one(_make_due)
_RECLAIM = one_by_one(_reclaim)
_RELEASE_LOST = one_by_one(claims.release_lost)
_SAVE_ROUTE = one_by_one(_save_route)
_SAVE_DESTINATION = one_by_one(_save_destination)


class Journal(SourceJournal, AbandonedJournal):
    """What is known of every file. Every method may raise StateDirError; one that raises has changed nothing.

    Writes wait for their commit, which they share with all others that are waiting. Reads have a connection of their
    own and see whatever was awaited before. A write whose caller is cancelled may still take place.
    """

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        held: lock.StateLock,
        writer: Writer,
        reader: Reader,
        reserve: Reserve,
    ) -> None:
        self._state_dir = state_dir
        self._clock = clock
        self._lock = held
        self._writer = writer
        self._reader = reader
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="crosshaul-journal-read")
        self._closed = False
        self._claim = one_by_one(claims.Claimer().claim)
        self._admit = one_by_one(partial(_admit, reserve))
        self._plans: dict[str, PlanId] = {}
        self._due_callbacks: list[Callable[[], None]] = []

    @classmethod
    async def open(cls, state_dir: Path, clock: Clock) -> Journal:
        """Take ``state_dir`` (made if need be), bring its journal up to date and put back what a crash left half done.

        Raises LockedError if another process holds it, StateDirError if it can't be used.
        """
        reserve = Reserve(state_dir)
        held, connection, reader = await asyncio.to_thread(_open_with, reserve, state_dir, clock.now())
        database = state_dir / connect.DATABASE
        writer = Writer(connection, database, await asyncio.to_thread(connect.identity, database), reserve)
        return cls(state_dir, clock, held, writer, reader, reserve)

    async def close(self) -> None:
        """Finish what is queued, close the journal and let go of ``state_dir``; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._reading.shutdown)
        self._reader.close()
        # Last, because only a writer that is alone can fold the write-ahead log into the database.
        await self._writer.close()
        self._lock.release()

    @property
    def last_error(self) -> str | None:
        """Why the last write failed; None once one gets through again."""
        return None if self._writer.last_error is None else str(self._writer.last_error)

    @property
    def commits(self) -> int:
        """How many commits there were since it was opened."""
        return self._writer.commits

    @property
    def last_commit(self) -> CommitStats | None:
        """How long the last transaction took, and how many writes it made durable."""
        return self._writer.last_commit

    def on_commit(self, callback: Callable[[CommitStats], None] | None) -> None:
        """Have ``callback`` called in the loop after each commit."""
        self._writer.on_commit = callback

    def on_due(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called in the loop whenever files may have become due."""
        self._due_callbacks.append(callback)

    def _tell_due(self) -> None:
        for callback in self._due_callbacks:
            callback()

    async def apply_plans(self, wanted: Sequence[RoutePlan], places: Mapping[str, Place]) -> dict[str, PlanId]:
        """Bring the plans of all configured routes into force; ``places`` are those of the destinations, by name.

        What was queued under another plan is not claimed any more, until it is admitted under this one.
        """
        self._plans = await self._writer.do(_APPLY, plans.Application(wanted, places))
        return self._plans

    async def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int = 0) -> ChangedFiles:
        """Those of ``sightings`` that intake has to judge: not recorded in this very state, or by another plan."""
        return await self._read(lambda: self._reader.filter_changed(route, sightings, plan))

    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """The states of files that were taken last, and why, of those of ``paths`` that have a record."""
        return await self._read(lambda: self._reader.recorded(route, paths))

    async def admit(self, settled: Sequence[Settled]) -> list[Denial]:
        """Queue files that came to rest; those that are refused, or whose key is another file's, are quarantined.

        A file that is being uploaded stays so and gets a new generation, which makes the running claim stale; but one
        that goes where it went before keeps generation and receipt, whatever else is new in its plan.
        """
        denied: list[Denial] = []
        for start in range(0, len(settled), _ADMIT_AT_ONCE):
            portion = settled[start : start + _ADMIT_AT_ONCE]
            denied += await self._writer.do(self._admit, admission.Admission(portion, self._clock.now()))
            self._tell_due()
        return denied

    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None:
        """These files disappeared: what was not sent yet is gone, what is delivered is noted to have no source."""
        if paths:
            await self._writer.do(_VANISH, admission.Disappearance(route, paths, self._clock.now()))

    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None:
        """The route does not select these files any more: what was not sent yet won't be, and the keys are free."""
        if paths:
            await self._writer.do(_EXCLUDE, admission.Disappearance(route, paths, self._clock.now()))

    async def leftovers(self, route: str, plan: int, after: int = 0) -> tuple[Sequence[bytes], int | None]:
        """Files of ``route`` not sent yet that another plan than this one judged: some of them, and where to go on.

        Begin with 0; None: there are no more.
        """
        return await self._read(lambda: self._reader.leftovers(route, plan, after))

    async def is_in_force(self, wanted: RoutePlan) -> bool:
        """See ``Reader.is_in_force``."""
        return await self._read(lambda: self._reader.is_in_force(wanted))

    async def plan(self, wanted: RoutePlan) -> PlanId:
        """See ``Reader.plan``."""
        return await self._read(lambda: self._reader.plan(wanted))

    async def delivered_of_other_plans(
        self, route: str, plan: int, after: int
    ) -> tuple[list[tuple[Sighting, Place, str]], int | None]:
        """See ``Reader.delivered_of_other_plans``."""
        return await self._read(lambda: self._reader.delivered_of_other_plans(route, plan, after))

    async def save_route(self, status: RouteStatus) -> None:
        """Keep a route's status for those who ask from outside."""
        await self._writer.do(_SAVE_ROUTE, status)

    async def claim(self, routes: Sequence[str], small: int, large: int = 0) -> list[Claim]:
        """At most so many due files below ``model.LARGE`` bytes and so many others; they are uploading now.

        Both are shared fairly among ``routes``, oldest due first.
        """
        return await self._writer.do(
            self._claim, claims.ClaimRequest(self._plans_of(routes), small, large, self._clock.now())
        )

    async def claim_canary(self, routes: Sequence[str], wish: CanaryCriteria) -> Claim | None:
        """One due file of ``routes``, as near to the wish as there is one; it is uploading now. None if none is due."""
        return await self._writer.do(
            _CLAIM_CANARY, canary.CanaryRequest(self._plans_of(routes), wish, self._clock.now())
        )

    async def next_due(self, routes: Sequence[str]) -> float | None:
        """When the next pending file of ``routes`` is due (seconds since the epoch, may be past); None if none is."""
        return await self._read(lambda: self._reader.next_due(self._plans_of(routes)))

    def _plans_of(self, routes: Sequence[str]) -> dict[str, int]:
        return {route: self._plans[route].id if route in self._plans else 0 for route in routes}

    async def finish(self, claim: Claim, outcome: Outcome) -> State:
        """Record the outcome of a claim and return the file's new state. Raises IllegalTransition.

        If the file changed meanwhile the outcome is of an older state: nothing is delivered, and the file is due again.
        """
        return await (await self.submit_outcome(claim, outcome))

    async def submit_outcome(self, claim: Claim, outcome: Outcome) -> asyncio.Future[State]:
        """The same, for who has something else to do than to wait until it is on disk: queued, in this order."""
        return await self._writer.begin(outcomes.finish, outcomes.ClaimOutcome(claim, outcome, self._clock.now()))

    async def begin_multipart(self, claim: Claim, multipart: Multipart) -> None:
        """Remember an upload that S3 opened; does nothing if the claim is stale. Raises IllegalTransition."""
        await self._writer.do(_BEGIN_MULTIPART, (claim, multipart))

    async def add_part(self, claim: Claim, part: Part) -> None:
        """Remember a part that S3 took; does nothing if the claim is stale. Raises IllegalTransition."""
        await self._writer.do(claims.add_parts, (claim, part))

    async def drop_multipart(self, claim: Claim) -> None:
        """Forget the upload; does nothing if the claim is stale. Raises IllegalTransition."""
        await self._writer.do(_DROP_MULTIPART, claim)

    async def drop_kept_receipt(self, claim: Claim) -> None:
        """Forget that the receipt of the state before may be the file's still."""
        await self._writer.do(_DROP_KEPT_RECEIPT, claim)

    async def make_due(self, routes: Sequence[str]) -> None:
        """All pending files of ``routes`` are due now (their destination works again)."""
        await self._writer.do(_MAKE_DUE, (self._clock.now(), rows.names_text(routes)))
        self._tell_due()

    async def reclaim(self, routes: Sequence[str]) -> None:
        """Put back what an earlier life of the caller's loop left uploading: it may have been delivered unheard."""
        await self._writer.do(_RECLAIM, (self._clock.now(), rows.names_text(routes)))

    async def held_claims(self, routes: Sequence[str]) -> list[HeldClaim]:
        """See ``Reader.held_claims``."""
        return await self._read(lambda: self._reader.held_claims(routes))

    async def release_lost(self, lost: Sequence[HeldClaim]) -> list[HeldClaim]:
        """Put back claims that nobody holds, and give those that were still held in the journal by that very claim."""
        released = await self._writer.do(_RELEASE_LOST, claims.LostClaims(lost, self._clock.now()))
        self._tell_due()
        return released

    async def save_destination(self, status: DestinationStatus) -> None:
        """Keep a destination's status, for the next start and for those who ask from outside."""
        await self._writer.do(_SAVE_DESTINATION, status)

    async def destinations(self) -> list[DestinationStatus]:
        """What was last saved of each destination."""
        return await self._read(self._reader.destinations)

    async def routes(self) -> list[RouteStatus]:
        """What was last saved of each route."""
        return await self._read(self._reader.routes)

    async def route_counts(self) -> list[RouteCounts]:
        """Counts by route."""
        return await self._read(self._reader.route_counts)

    async def uploading(self, limit: int) -> list[Record]:
        """See ``Reader.uploading``."""
        return await self._read(lambda: self._reader.uploading(limit))

    async def longest_pending(self, route: str, limit: int) -> list[Record]:
        """See ``Reader.longest_pending``."""
        return await self._read(lambda: self._reader.longest_pending(route, limit))

    async def bytes_in_parts(self) -> int:
        """See ``Reader.bytes_in_parts``."""
        return await self._read(self._reader.bytes_in_parts)

    async def quarantined(self, limit: int) -> list[Record]:
        """See ``Reader.quarantined``."""
        return await self._read(lambda: self._reader.quarantined(limit))

    async def find(self, route: str, path: bytes) -> Record | None:
        """The record of a file; ``path`` is relative to the route's root."""
        return await self._read(lambda: self._reader.find(route, path))

    async def _read(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading, question)


def _admit(reserve: Reserve, connection: sqlite3.Connection, admitted: admission.Admission) -> list[Denial]:
    if reserve.spent and connection.execute(SQL["backlog"]).fetchone()[0] >= _BACKLOG_ON_A_FULL_DISK:
        reserve.check()
    return admission.admit(connection, admitted)


def _open_with(reserve: Reserve, state_dir: Path, now: float) -> tuple[lock.StateLock, sqlite3.Connection, Reader]:
    """Open it, at the cost of the reserve where the disk is full; and see that there is one."""
    try:
        opened = _open(state_dir, now)
    except StateDirUnavailableError:
        if not reserve.release():
            raise
        opened = _open(state_dir, now)
    reserve.keep()
    return opened


def _open(state_dir: Path, now: float) -> tuple[lock.StateLock, sqlite3.Connection, Reader]:
    prepare(state_dir)
    with contextlib.ExitStack() as undo:
        held = lock.StateLock.take(state_dir)
        undo.callback(held.release)
        connection = _open_database(state_dir / connect.DATABASE, now)
        undo.callback(connection.close)
        reader = Reader.open(state_dir)
        undo.pop_all()
    return held, connection, reader


def _open_database(database: Path, now: float) -> sqlite3.Connection:
    os.close(private_file(database))
    try:
        connection = connect.open_writable(database)
    except sqlite3.Error as error:
        raise connect.storage_error(database, error) from error
    try:
        connect.check_whole(connection, database)
        migrate(connection, database)
        _recover(connection, now)
    except sqlite3.Error as error:
        connection.close()
        raise connect.storage_error(database, error) from error
    except StateDirError:
        connection.close()
        raise
    return connection


def _recover(connection: sqlite3.Connection, now: float) -> None:
    """An upload that was under way may have succeeded unheard; nobody waits any more for files to come to rest."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(SQL["recover_uploading"], (now,))
    connection.execute(SQL["recover_changed"], (now,))
    connection.execute("COMMIT")
