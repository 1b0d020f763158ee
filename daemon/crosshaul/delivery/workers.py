"""Take claims from the look-ahead, upload them, and report each attempt once the journal holds its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from crosshaul.delivery import dispatcher, lost_claims
from crosshaul.delivery.attempt import AttemptObserver, AttemptRunner
from crosshaul.delivery.breaker import Breaker
from crosshaul.delivery.lookahead import CLAIMS_PER_WORKER, MAX_CLAIMS_PER_WORKER, Lookahead
from crosshaul.delivery.outcome_mapping import DestinationObserver
from crosshaul.delivery.retry import RetryPolicy
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.files.reader import READ_THREADS
from crosshaul.model import Claim, HeldClaim, Outcome, Quarantine, Release, State


class TransferJournal(dispatcher.ClaimJournal, lost_claims.HeldClaimJournal, Protocol):
    """The part of the journal that the transfer loop uses."""

    async def reclaim(self, routes: Sequence[str]) -> None: ...  # noqa: D102 - described in journal/protocol.py
    async def drop_multipart(self, claim: Claim) -> None: ...  # noqa: D102
    async def submit_outcome(self, claim: Claim, outcome: Outcome) -> asyncio.Future[State]: ...  # noqa: D102


class TransferObserver(DestinationObserver, AttemptObserver, Protocol):
    """Receives what happens in a transfer loop. Its methods must not block."""

    def on_started(self, claim: Claim) -> None:
        """Note that an attempt has started."""

    def on_finished(self, claim: Claim, outcome: Outcome, state: State, seconds: float) -> None:
        """Note that an attempt has finished and the journal holds its outcome."""

    def on_load(self, in_flight: int, limit: int) -> None:
        """Note how many requests are in flight, and how many may be."""

    def on_read_hang(self, route: str, path: bytes, seconds: float) -> None:
        """Note that reading a file has taken ``seconds`` so far; called once until the route's reads recover."""

    def on_read_recovered(self, route: str, seconds: float) -> None:
        """Note that the route's files can be read again."""

    def on_claims_lost(self, claims: Sequence[HeldClaim]) -> None:
        """Note that these files were claimed but no worker had them; they are pending again."""


class _FinishedAttempt(NamedTuple):
    """An attempt whose outcome was given to the journal; ``state`` resolves once it is on disk."""

    claim: Claim
    lookahead: Lookahead
    outcome: Outcome
    state: asyncio.Future[State]
    seconds: float


class UploadWorkers:
    """The workers of one destination, for small files and for large ones."""

    def __init__(
        self,
        context: UploadContext,
        journal: TransferJournal,
        breaker: Breaker,
        claims: dispatcher.Dispatcher,
        attempts: AttemptRunner,
        policy: RetryPolicy,
        observer: TransferObserver,
    ) -> None:
        self._context = context
        self._journal = journal
        self._breaker = breaker
        self._dispatcher = claims
        self._attempts = attempts
        self._policy = policy
        self._observer = observer
        self._active: set[int] = set()
        """Record ids of the files that a worker has."""
        self._group: asyncio.TaskGroup | None = None
        self.reset(asyncio.Event())

    def reset(self, stop: asyncio.Event) -> None:
        """Prepare for a new run of the loop."""
        workers = self._context.sizes.max_concurrency
        self._stop = stop
        self.small, self.large = Lookahead(workers, MAX_CLAIMS_PER_WORKER), Lookahead(workers, CLAIMS_PER_WORKER)
        self._finished: asyncio.Queue[_FinishedAttempt | None] = asyncio.Queue()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the workers as tasks of ``group``."""
        self._group = group
        for lookahead in (self.small, self.large):
            for _ in range(lookahead.workers):
                group.create_task(self._work(lookahead))

    def stop_replacing(self) -> None:
        """Start no more workers in place of stuck ones: the loop is ending."""
        self._group = None

    def close(self) -> None:
        """Let each worker return after the claims that are queued."""
        self.small.close()
        self.large.close()

    def held_ids(self) -> set[int]:
        """Return the record ids of files that are queued here or that a worker has.

        Excludes files whose attempt has finished and whose outcome is not on disk yet.
        """
        return self._active.union(self.small.queued_ids(), self.large.queued_ids())

    def replace_stuck(self, large: bool) -> None:  # noqa: FBT001 - a callback
        """Start a worker in place of one whose read may never return."""
        lookahead = self.large if large else self.small
        if self._group is not None and lookahead.workers < 2 * self._context.sizes.max_concurrency + READ_THREADS:
            lookahead.add_worker()
            self._group.create_task(self._work(lookahead))

    async def release_unstarted(self) -> None:
        """Release the claims that no worker has taken."""
        claims = [claim for lookahead in (self.small, self.large) for claim in lookahead.drain_unstarted()]
        await asyncio.gather(*[await self._release(claim) for claim in claims])

    async def _release(self, claim: Claim) -> asyncio.Future[State]:
        return await self._journal.submit_outcome(claim, self._attempts.released(claim))

    # Uploading

    async def _work(self, lookahead: Lookahead) -> None:
        task = asyncio.current_task()
        while (claim := await lookahead.queue.get()) is not None:
            self._active.add(claim.id)
            try:
                await self._process(claim, lookahead)
            finally:
                self._active.discard(claim.id)
            if task is not None and task.cancelling():
                return  # a library below swallowed the cancellation

    async def _process(self, claim: Claim, lookahead: Lookahead) -> None:
        stalled = claim.id in self._context.stalled
        if self._must_return(claim) or (stalled and not lookahead.has_room_for_stalled()):
            await self._return(claim, lookahead, stalled=stalled)
        else:
            lookahead.stalled_uploads += stalled
            self._finished.put_nowait(await self._attempt(claim, lookahead))
            lookahead.stalled_uploads -= stalled

    def _must_return(self, claim: Claim) -> bool:
        """Return whether a claim goes back unsent: on stop, if only canaries may go, or if its route was paused."""
        blocked = self._breaker.tripped and claim.id not in self._breaker.canaries
        paused = claim.route not in self._dispatcher.routes or not self._context.is_current_plan(claim)
        return blocked or paused or self._stop.is_set()

    async def _return(self, claim: Claim, lookahead: Lookahead, *, stalled: bool) -> None:
        if stalled and not self._breaker.tripped and not self._stop.is_set():
            delay = self._policy.delay(claim.attempts + 1, 0.75)
            await (await self._journal.submit_outcome(claim, Release(self._context.clock.now() + delay)))
        else:
            await (await self._release(claim))
        self._make_room(lookahead)

    async def _attempt(self, claim: Claim, lookahead: Lookahead) -> _FinishedAttempt:
        self._observer.on_started(claim)
        started = self._context.clock.monotonic()
        was_tripped = self._breaker.tripped
        outcome = await self._attempts.run(claim, started)
        if self._breaker.tripped and not was_tripped:
            self._dispatcher.breaker_tripped()
            await self.release_unstarted()
        if isinstance(outcome, Quarantine) and self._context.in_parts(claim):
            await self._journal.drop_multipart(claim)  # `retry` has to begin a new upload
        state = await self._journal.submit_outcome(claim, outcome)
        return _FinishedAttempt(claim, lookahead, outcome, state, self._context.clock.monotonic() - started)

    # Reporting

    async def report_finished(self) -> None:
        """Report each attempt when the journal holds its outcome, in the journal's order, until ``close_reports``."""
        while (attempt := await self._finished.get()) is not None:
            state = await attempt.state
            self._observer.on_finished(attempt.claim, attempt.outcome, state, attempt.seconds)
            self._make_room(attempt.lookahead)

    def close_reports(self) -> None:
        """End ``report_finished`` after the attempts that are queued."""
        self._finished.put_nowait(None)

    def cancel_unreported(self) -> None:
        """Cancel the remaining reports after the journal failed: asyncio logs each exception that is not retrieved."""
        while not self._finished.empty():
            if (attempt := self._finished.get_nowait()) is not None:
                attempt.state.cancel()

    def _make_room(self, lookahead: Lookahead) -> None:
        lookahead.claimed -= 1
        # A wake-up per file would claim one file per transaction; a half-empty look-ahead is worth one. After a canary
        # the time of the next one has changed.
        if self._breaker.tripped or lookahead.wanted():
            self._dispatcher.wake()
