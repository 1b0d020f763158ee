"""Loop 2: journal.claim -> deliver -> journal.finish, for one destination.

Each destination has a loop of its own (workers, adaptive limit, breaker), so that one that fails or stalls holds up no
other. Capacity comes before the claim: what is claimed is about to be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.config import Route
from crosshaul.delivery import dispatcher, lost_claims, outcomes
from crosshaul.delivery.breaker import Breaker
from crosshaul.delivery.lookahead import AHEAD, FAR_AHEAD, Lookahead
from crosshaul.delivery.retry import RetryPolicy
from crosshaul.delivery.unchanged import receipt_stands
from crosshaul.delivery.upload import deliver, of_source
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import (
    Diagnosis,
    Fault,
    FaultKind,
    FileChangedError,
    FileGoneError,
    HeldBackError,
    RouteHangsError,
    SourceError,
    StateDirError,
)
from crosshaul.files.reader import READ_THREADS
from crosshaul.journal.canary_choice import Canaries
from crosshaul.model import Changed, Claim, HeldClaim, Outcome, Quarantine, Release, State


class TransferJournal(dispatcher.ClaimJournal, lost_claims.Journal, Protocol):
    """The part of the journal that this loop works on."""

    async def reclaim(self, routes: Sequence[str]) -> None: ...  # noqa: D102 - described in journal/store.py
    async def drop_multipart(self, claim: Claim) -> None: ...  # noqa: D102
    async def submit_outcome(self, claim: Claim, outcome: Outcome) -> asyncio.Future[State]: ...  # noqa: D102


class TransferObserver(outcomes.DestinationObserver, Protocol):
    """Who is told what happens; must not block."""

    def began(self, claim: Claim) -> None:
        """A file is being sent."""

    def ended(self, claim: Claim, outcome: Outcome, state: State, seconds: float) -> None:
        """A try ended, and the journal holds its outcome."""

    def surprised(self, claim: Claim, error: Exception) -> None:
        """A try ended in an error that is none of ours."""

    def load(self, in_flight: int, limit: int) -> None:
        """How much is under way, and how much may be."""

    def read_hangs(self, route: str, path: bytes, seconds: float) -> None:
        """A file has been read for so long; said once per spell of a route."""

    def claims_lost(self, claims: Sequence[HeldClaim]) -> None:
        """These files counted as being sent, and nobody sent them; they are pending again."""

    def read_recovered(self, route: str, seconds: float) -> None:
        """The route's files can be read again."""


class _FinishedAttempt(NamedTuple):
    """A try that ended; ``state`` is to come when the journal holds its outcome."""

    claim: Claim
    share: Lookahead
    outcome: Outcome
    state: asyncio.Future[State]
    seconds: float


class Transfer:
    """One destination's loop. ``wake`` and ``probe`` are for others to call on the loop's thread."""

    def __init__(
        self,
        context: UploadContext,
        journal: TransferJournal,
        limit: AdaptiveLimit,
        policy: RetryPolicy,
        listener: TransferObserver,
        suspect: Callable[[], None],
    ) -> None:
        self._breaker, canaries = Breaker(policy), Canaries()
        self._outcomes = outcomes.Outcomes(context, limit, self._breaker, canaries, policy, listener, suspect)
        self._context = replace(context, body_taken=self._outcomes.body_taken, taken=self._outcomes.taken)
        self._journal = journal
        self._limit = limit
        self._policy = policy
        self._listener = listener
        self._dispatcher = dispatcher.Dispatcher(
            journal, context.clock, self._breaker, canaries, context.files.is_hanging
        )
        self._dispatcher.routes = tuple(context.routes)
        context.files.observe(self._reading_stuck, listener.read_hangs, self._read_recovered)
        self._small, self._large = self._shares()
        self._sent: asyncio.Queue[_FinishedAttempt | None] = asyncio.Queue()
        self._at_work: set[int] = set()
        """The files that workers are at."""
        self._lost = lost_claims.LostClaims(journal, lambda: self._dispatcher.routes, self._held, listener.claims_lost)
        self._stop = asyncio.Event()
        self._workers: asyncio.TaskGroup | None = None

    def serve(self, routes: Mapping[str, Route], claimed: Iterable[str], plans: Mapping[str, int]) -> None:
        """These are the destination's routes, these of them send, by these plans; what is under way is ended."""
        self._context.routes.update(routes)
        self._context.plans.clear()
        self._context.plans.update(plans)
        self._dispatcher.routes = tuple(claimed)
        self._context.files.share_among(len(self._context.routes))
        self.wake()

    @property
    def taken(self) -> int:
        """How many bodies S3 took: whole files, and parts."""
        return self._limit.taken

    def wake(self) -> None:
        """There may be something to send."""
        self._dispatcher.wake(arrived=True)

    def probe(self) -> None:
        """Something changed for the better: a destination that takes nothing is tried at once."""
        self._breaker.probe_now(self._context.clock.monotonic())
        self._dispatcher.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop``; then end what is being sent and put back what was only claimed."""
        self._stop = stop
        self._small, self._large = self._shares()
        self._sent = asyncio.Queue()
        self._breaker.forget_canaries()
        await self._journal.reclaim(tuple(self._context.routes))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._wake_at(stop))
                group.create_task(self._tell())
                group.create_task(self._lost.run(stop))
                await self._send(stop)
                self._sent.put_nowait(None)
        finally:
            self._leave_untold()

    async def _send(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._workers = group
            for share in (self._small, self._large):
                for _ in range(share.workers):
                    group.create_task(self._work(share))
            try:
                await self._dispatcher.run(stop, self._small, self._large, self._tell_load)
            finally:
                self._workers = None  # a read that turns out to be stuck later gets nobody in its place
            await self._put_back()
            for share in (self._small, self._large):
                share.end()

    def _shares(self) -> tuple[Lookahead, Lookahead]:
        most = self._context.sizes.max_concurrency
        return Lookahead(most, FAR_AHEAD), Lookahead(most, AHEAD)

    def _tell_load(self) -> None:
        self._listener.load(self._context.slots.used, self._limit.limit)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._dispatcher.wake()

    async def _put_back(self) -> None:
        """Release what was claimed and not begun."""
        claims = [claim for share in (self._small, self._large) for claim in share.drain_unstarted()]
        await asyncio.gather(*[await self._release(claim) for claim in claims])

    async def _release(self, claim: Claim) -> asyncio.Future[State]:
        self._outcomes.said_nothing(claim)
        return await self._journal.submit_outcome(claim, Release(self._dispatcher.put_back_at()))

    # Files that can't be read

    def _reading_stuck(self, large: bool) -> None:  # noqa: FBT001 - a callback
        """A worker waits for a file system that may never answer: another takes its place."""
        share = self._large if large else self._small
        if self._workers is not None and share.workers < 2 * self._context.sizes.max_concurrency + READ_THREADS:
            share.add_worker()
            self._workers.create_task(self._work(share))

    def _read_recovered(self, route: str, seconds: float) -> None:
        self._listener.read_recovered(route, seconds)
        self._dispatcher.wake()

    # Sending

    async def _work(self, share: Lookahead) -> None:
        task = asyncio.current_task()
        while (claim := await share.queue.get()) is not None:
            self._at_work.add(claim.id)
            try:
                await self._deal_with(claim, share)
            finally:
                self._at_work.discard(claim.id)
            if task is not None and task.cancelling():
                return  # a library below swallowed the cancellation

    async def _deal_with(self, claim: Claim, share: Lookahead) -> None:
        stalled = claim.id in self._context.stalled
        if self._goes_back(claim) or (stalled and not share.has_room_for_stalled()):
            await self._return(claim, share, stalled=stalled)
        else:
            share.stalled_in_work += stalled
            self._sent.put_nowait(await self._one(claim, share))
            share.stalled_in_work -= stalled

    def _held(self) -> set[int]:
        """The files that wait for a worker, or have one; what waits for the journal alone is not lost, but ended."""
        return self._at_work.union(*[share.waiting() for share in (self._small, self._large)])

    def _goes_back(self, claim: Claim) -> bool:
        """Whether what is only claimed goes back: at the end, while but a canary goes, of a paused route."""
        held = self._breaker.tripped and not self._breaker.is_canary(claim.id)
        taken_off = claim.route not in self._dispatcher.routes or not self._context.takes(claim)
        return held or taken_off or self._stop.is_set()

    async def _return(self, claim: Claim, share: Lookahead, *, stalled: bool) -> None:
        if stalled and not self._breaker.tripped and not self._stop.is_set():
            delay = self._policy.delay(claim.attempts + 1, 0.75)
            await (await self._journal.submit_outcome(claim, Release(self._context.clock.now() + delay)))
        else:
            await (await self._release(claim))
        self._over(share)

    async def _one(self, claim: Claim, share: Lookahead) -> _FinishedAttempt:
        self._listener.began(claim)
        started = self._context.clock.monotonic()
        tripped = self._breaker.tripped
        outcome = await self._outcome(claim, started)
        if self._breaker.tripped and not tripped:
            self._dispatcher.tripped()
            await self._put_back()
        if isinstance(outcome, Quarantine) and self._context.in_parts(claim):
            await self._journal.drop_multipart(claim)  # who puts it back wants a new beginning
        state = await self._journal.submit_outcome(claim, outcome)
        return _FinishedAttempt(claim, share, outcome, state, self._context.clock.monotonic() - started)

    async def _tell(self) -> None:
        """Tell of each try when the journal holds its outcome; the order is that of the journal's."""
        while (sent := await self._sent.get()) is not None:
            state = await sent.state
            self._listener.ended(sent.claim, sent.outcome, state, sent.seconds)
            self._over(sent.share)

    def _leave_untold(self) -> None:
        """What is left when the journal failed; or asyncio complains of each error that nobody heard."""
        while not self._sent.empty():
            if (sent := self._sent.get_nowait()) is not None:
                sent.state.cancel()

    def _over(self, share: Lookahead) -> None:
        share.under_way -= 1
        # Waking for each file would claim one at a time; half a house empty is worth a transaction. After a canary the
        # time of the next one is another.
        if self._breaker.tripped or share.wanted():
            self._dispatcher.wake()

    async def _outcome(self, claim: Claim, started: float) -> Outcome:
        try:
            if claim.kept_receipt is not None and await receipt_stands(claim, claim.kept_receipt, self._context):
                return self._outcomes.unchanged(claim, claim.kept_receipt)
            receipt = await deliver(claim, self._context)
        except (FileChangedError, FileGoneError):
            self._outcomes.said_nothing(claim)
            return Changed()
        except (HeldBackError, RouteHangsError):
            self._outcomes.said_nothing(claim)
            return Release(self._dispatcher.put_back_at())
        except SourceError as error:
            return self._outcomes.failed_here(claim, of_source(error, claim.path))
        except Fault as fault:
            return self._outcomes.faulted(claim, fault.diagnosis, started)
        except StateDirError:
            raise  # the journal's trouble is everyone's
        except Exception as error:  # noqa: BLE001 - a bug, or an error nobody thought of, in one file must not stop the others
            self._listener.surprised(claim, error)
            unexpected = Diagnosis(FaultKind.LOCAL, type(error).__name__, " ".join(str(error).split()))
            return self._outcomes.failed_here(claim, unexpected)
        return self._outcomes.delivered(claim, receipt)
