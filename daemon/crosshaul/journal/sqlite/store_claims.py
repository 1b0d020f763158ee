"""The journal's calls for delivery: claims, their outcomes, and multipart uploads."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

from crosshaul.concurrency.clock import Clock
from crosshaul.journal.canary_choice import CanaryCriteria
from crosshaul.journal.sqlite import canary, claims, outcomes, rows
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.journal.sqlite.store_base import StoreBase
from crosshaul.journal.sqlite.write_batch import one_by_one
from crosshaul.journal.sqlite.writer import Writer
from crosshaul.model import Claim, HeldClaim, Multipart, Outcome, Part, State


def _make_due(connection: sqlite3.Connection, argument: tuple[float, str]) -> None:
    connection.execute(SQL["make_due"], argument)


def _reclaim(connection: sqlite3.Connection, argument: tuple[float, str]) -> None:
    connection.execute(SQL["reclaim"], argument)


_BEGIN_MULTIPART = one_by_one(claims.begin_multipart)
_DROP_MULTIPART = one_by_one(claims.drop_multipart)
_DROP_KEPT_RECEIPT = one_by_one(claims.drop_kept_receipt)
_CLAIM_CANARY = one_by_one(canary.claim_canary)
_MAKE_DUE = one_by_one(_make_due)
_RECLAIM = one_by_one(_reclaim)
_RELEASE_LOST = one_by_one(claims.release_lost)


class ClaimStore(StoreBase):
    """The calls about claims."""

    def __init__(self, clock: Clock, writer: Writer, reader: Reader) -> None:
        super().__init__(clock, writer, reader)
        self._claim = one_by_one(claims.Claimer().claim)

    async def claim(self, routes: Sequence[str], small: int, large: int = 0) -> list[Claim]:
        """Claim at most ``small`` due files below ``model.LARGE`` bytes and ``large`` others, oldest due first.

        Both are shared fairly among ``routes``. The claimed files are UPLOADING.
        """
        return await self._writer.execute(
            self._claim, claims.ClaimRequest(self._plans_of(routes), small, large, self._clock.now())
        )

    async def claim_canary(self, routes: Sequence[str], criteria: CanaryCriteria) -> Claim | None:
        """Claim the due file of ``routes`` that meets the criteria best; None if no file is due."""
        return await self._writer.execute(
            _CLAIM_CANARY, canary.CanaryRequest(self._plans_of(routes), criteria, self._clock.now())
        )

    async def next_due(self, routes: Sequence[str]) -> float | None:
        """Return when the next pending file is due (seconds since the epoch, may be past); None if none is pending."""
        return await self._read(lambda: self._reader.next_due(self._plans_of(routes)))

    async def finish(self, claim: Claim, outcome: Outcome) -> State:
        """Record the outcome of a claim and return the file's new state. Raises IllegalTransition.

        If the file changed since, the outcome is stale: nothing counts as delivered, and the file is due again.
        """
        return await (await self.submit_outcome(claim, outcome))

    async def submit_outcome(self, claim: Claim, outcome: Outcome) -> asyncio.Future[State]:
        """Queue the outcome of a claim, in the order of the calls; the future is ``finish``'s result."""
        return await self._writer.submit(outcomes.finish, outcomes.ClaimOutcome(claim, outcome, self._clock.now()))

    async def begin_multipart(self, claim: Claim, multipart: Multipart) -> None:
        """Remember an upload that S3 opened; does nothing if the claim is stale. Raises IllegalTransition."""
        await self._writer.execute(_BEGIN_MULTIPART, (claim, multipart))

    async def add_part(self, claim: Claim, part: Part) -> None:
        """Remember a part that S3 took; does nothing if the claim is stale. Raises IllegalTransition."""
        await self._writer.execute(claims.add_parts, (claim, part))

    async def drop_multipart(self, claim: Claim) -> None:
        """Forget the upload; does nothing if the claim is stale. Raises IllegalTransition."""
        await self._writer.execute(_DROP_MULTIPART, claim)

    async def drop_kept_receipt(self, claim: Claim) -> None:
        """Forget the receipt that the file kept when its ctime changed."""
        await self._writer.execute(_DROP_KEPT_RECEIPT, claim)

    async def make_due(self, routes: Sequence[str]) -> None:
        """Make all pending files of ``routes`` due now: their destination works again."""
        await self._writer.execute(_MAKE_DUE, (self._clock.now(), rows.names_text(routes)))
        self._notify_due()

    async def reclaim(self, routes: Sequence[str]) -> None:
        """Queue all claimed files of ``routes`` again, as ambiguous: their uploads may have succeeded."""
        await self._writer.execute(_RECLAIM, (self._clock.now(), rows.names_text(routes)))

    async def held_claims(self, routes: Sequence[str]) -> list[HeldClaim]:
        """See ``Reader.held_claims``."""
        return await self._read(lambda: self._reader.held_claims(routes))

    async def release_lost(self, lost: Sequence[HeldClaim]) -> list[HeldClaim]:
        """Queue files again whose claims nobody holds; return those of the claims that the journal still had."""
        released = await self._writer.execute(_RELEASE_LOST, claims.LostClaims(lost, self._clock.now()))
        self._notify_due()
        return released
