"""Loop 2: journal.claim -> deliver -> journal.settle, for one destination.

Each destination has a loop of its own (workers, adaptive limit, breaker), so that one that fails or stalls holds up no
other. Capacity comes before the claim: what is claimed is about to be sent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from crosshaul.config import Route
from crosshaul.errors import Diagnosis, Fault, FileChangedError, FileGoneError, Kind, SourceError, StateDirError
from crosshaul.model import (
    Changed,
    ChecksumKind,
    Claim,
    Delivered,
    Outcome,
    Quarantine,
    Receipt,
    Release,
    Retry,
    State,
)
from crosshaul.pace import AdaptiveLimit
from crosshaul.retry import (
    Breaker,
    GiveUp,
    Policy,
    Refused,
    decide,
    may_be_one_file_s,
    of_the_destination,
    slows_everyone,
)
from crosshaul.upload import deliver, of_source
from crosshaul.upload_context import Means

_REFUSED = frozenset({401, 403})
"""HTTP statuses that may also mean a session revoked: the refresher is told."""
_AHEAD, _FAR_AHEAD = 2, 32
"""Files claimed for each that may be being sent, at least and at most: they wait for their turn, or until their receipt
is on disk. The most are for thousands of small files a second, of which each commit takes hundreds."""
_POLL = 5.0
"""Seconds after which the journal is asked again even if nobody said anything."""
_GLANCE = 0.05
"""Seconds from one look into the journal to the next, if there is nothing to be done at once."""
_SET_BACK = 1.0
"""Seconds by which the wall clock may fall behind between two looks without having been set back."""


class Journal(Protocol):
    """The part of the journal that this loop works on."""

    async def reclaim(self, routes: Sequence[str]) -> None: ...  # noqa: D102 - described in journal/store.py
    async def make_due(self, routes: Sequence[str]) -> None: ...  # noqa: D102
    async def claim(self, routes: Sequence[str], small: int, large: int) -> list[Claim]: ...  # noqa: D102
    async def next_due(self, routes: Sequence[str]) -> float | None: ...  # noqa: D102
    async def begin_settle(self, claim: Claim, outcome: Outcome) -> asyncio.Future[State]: ...  # noqa: D102


class Listener(Protocol):
    """Who is told what happens; must not block."""

    def began(self, claim: Claim) -> None:
        """A file is being sent."""

    def ended(self, claim: Claim, outcome: Outcome, state: State, seconds: float) -> None:
        """A try ended, and the journal holds its outcome."""

    def surprised(self, claim: Claim, error: Exception) -> None:
        """A try ended in an error that is none of ours."""

    def parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """The destination takes nothing for now."""

    def still_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        """A canary was refused as well."""

    def resumed(self) -> None:
        """The destination takes files again."""

    def load(self, in_flight: int, limit: int) -> None:
        """How much is under way, and how much may be."""

    def learned(self, checksum: ChecksumKind | None) -> None:
        """The store was seen to honour this checksum."""


class _Share:
    """The small files or the large ones of a destination: neither kind waits behind the other."""

    def __init__(self, workers: int, far_ahead: int) -> None:
        self.workers = workers
        self.queue: asyncio.Queue[Claim | None] = asyncio.Queue()
        self.under_way = 0
        """Claimed, and what became of them not yet on disk."""
        self._most = self._least = workers * _AHEAD
        self._bound = workers * far_ahead

    def wanted(self) -> int:
        """How many to claim: as many as there is room for, none while half of them are there."""
        free = self._most - self.under_way
        return free if 2 * free >= self._most else 0

    def take(self, claims: Sequence[Claim], asked: int) -> None:
        """These to send, of so many that were asked for."""
        if len(claims) < asked:
            self._most = self._least
        elif asked > 1 and self.queue.empty():  # they came too late; a canary always does
            self._most = min(2 * self._most, self._bound)
        self.under_way += len(claims)
        for claim in claims:
            self.queue.put_nowait(claim)

    def begun_no_more(self) -> Iterator[Claim]:
        """Take back what no worker has begun."""
        while not self.queue.empty():
            claim = self.queue.get_nowait()
            if claim is None:  # the end that each worker waits for: a worker that parks must not take it from another
                self.queue.put_nowait(None)
                return
            self.under_way -= 1
            yield claim

    def end(self) -> None:
        """Let each worker go when it has nothing more to do."""
        for _ in range(self.workers):
            self.queue.put_nowait(None)


class _Sent(NamedTuple):
    """A try that ended; ``state`` is to come when the journal holds its outcome."""

    claim: Claim
    share: _Share
    outcome: Outcome
    state: asyncio.Future[State]
    seconds: float


class Transfer:
    """One destination's loop. ``wake`` and ``probe`` are for others to call on the loop's thread."""

    def __init__(
        self,
        means: Means,
        journal: Journal,
        limit: AdaptiveLimit,
        policy: Policy,
        listener: Listener,
        suspect: Callable[[], None],
    ) -> None:
        self._means = means
        self._journal = journal
        self._limit = limit
        self._policy = policy
        self._listener = listener
        self._suspect = suspect
        self._breaker = Breaker(policy)
        self._routes = tuple(means.routes)
        self._small, self._large = self._shares()
        self._sent: asyncio.Queue[_Sent | None] = asyncio.Queue()
        self._large_canary = True
        self._stop = asyncio.Event()
        self._awake = asyncio.Event()
        self._wall_ahead = float("inf")

    def serve(self, routes: Mapping[str, Route], claimed: Iterable[str], plans: Mapping[str, int]) -> None:
        """These are the destination's routes, these of them send, by these plans; what is under way is ended."""
        self._means.routes.update(routes)
        self._means.plans.clear()
        self._means.plans.update(plans)
        self._routes = tuple(claimed)
        self.wake()

    @property
    def taken(self) -> int:
        """How many bodies S3 took: whole files, and parts."""
        return self._limit.taken

    def wake(self) -> None:
        """There may be something to send."""
        self._awake.set()

    def probe(self) -> None:
        """Something changed for the better: a parked destination is tried at once."""
        self._breaker.probe_now(self._means.clock.monotonic())
        self._awake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop``; then end what is being sent and put back what was only claimed."""
        self._stop = stop
        self._small, self._large = self._shares()
        self._sent = asyncio.Queue()
        await self._journal.reclaim(tuple(self._means.routes))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._wake_at(stop))
                group.create_task(self._tell())
                await self._send(stop)
                self._sent.put_nowait(None)
        finally:
            self._leave_untold()

    async def _send(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for share in (self._small, self._large):
                for _ in range(share.workers):
                    group.create_task(self._work(share))
            await self._dispatch(stop)
            await self._put_back()
            for share in (self._small, self._large):
                share.end()

    def _shares(self) -> tuple[_Share, _Share]:
        most = self._means.sizes.max_concurrency
        return _Share(most, _FAR_AHEAD), _Share(most, _AHEAD)

    @property
    def _under_way(self) -> int:
        return self._small.under_way + self._large.under_way

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake()

    # Claiming

    async def _dispatch(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._awake.clear()
            await self._mind_the_clock()
            small, large = wanted = self._wanted()
            claims = await self._journal.claim(self._routes, small, large) if any(wanted) else []
            self._small.take([claim for claim in claims if not claim.large], small)
            self._large.take([claim for claim in claims if claim.large], large)
            self._listener.load(self._means.slots.used, self._limit.limit)
            if len(claims) < sum(wanted) or not any(wanted):
                await self._doze(await self._idle_for(asked=any(wanted)))

    async def _mind_the_clock(self) -> None:
        """Due times are those of the wall clock. If it was set back, now or before the start, nothing waits for it."""
        clock = self._means.clock
        before, self._wall_ahead = self._wall_ahead, clock.now() - clock.monotonic()
        if self._wall_ahead < before - _SET_BACK:
            await self._journal.make_due(self._routes)

    def _wanted(self) -> tuple[int, int]:
        """How many small and large files to claim; one canary when parked."""
        if self._breaker.parked:
            due = (self._breaker.retry_at or 0.0) <= self._means.clock.monotonic()
            return self._canary() if due and not self._under_way else (0, 0)
        return self._small.wanted(), self._large.wanted()

    def _canary(self) -> tuple[int, int]:
        """One file, of the other kind than the last one: there may be none of this one."""
        self._large_canary = not self._large_canary
        return (0, 1) if self._large_canary else (1, 0)

    async def _idle_for(self, *, asked: bool) -> float:
        if self._breaker.retry_at is not None and not asked:
            return self._breaker.retry_at - self._means.clock.monotonic() if not self._under_way else _POLL
        due = await self._journal.next_due(self._routes) if asked else None
        # What is due already is of the kind that there is no room for; when there is, that wakes.
        return _POLL if due is None else max(_GLANCE, due - self._means.clock.now())

    async def _doze(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(_POLL, max(0.001, seconds))):
                await self._awake.wait()
        except TimeoutError:
            return

    async def _put_back(self) -> None:
        """Release what was claimed and not begun."""
        claims = [claim for share in (self._small, self._large) for claim in share.begun_no_more()]
        await asyncio.gather(*[await self._release(claim) for claim in claims])

    async def _release(self, claim: Claim) -> asyncio.Future[State]:
        return await self._journal.begin_settle(claim, Release(self._means.clock.now()))

    # Sending

    async def _work(self, share: _Share) -> None:
        task = asyncio.current_task()
        while (claim := await share.queue.get()) is not None:
            if self._begins_nothing() or claim.route not in self._routes or not self._means.takes(claim):
                await (await self._release(claim))
                self._over(share)
            else:
                self._sent.put_nowait(await self._one(claim, share))
            if task is not None and task.cancelling():
                return  # a library below swallowed the cancellation

    async def _one(self, claim: Claim, share: _Share) -> _Sent:
        self._listener.began(claim)
        started = self._means.clock.monotonic()
        outcome = await self._outcome(claim, started)
        state = await self._journal.begin_settle(claim, outcome)
        return _Sent(claim, share, outcome, state, self._means.clock.monotonic() - started)

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

    def _over(self, share: _Share) -> None:
        share.under_way -= 1
        # Waking for each file would claim one at a time; half a house empty is worth a transaction. After a canary the
        # time of the next one is another.
        if self._breaker.parked or share.wanted():
            self.wake()

    def _begins_nothing(self) -> bool:
        """Whether what is only claimed goes back: at the end, and while the destination takes a canary at the most."""
        return self._stop.is_set() or (self._breaker.parked and self._under_way > 1)

    async def _outcome(self, claim: Claim, started: float) -> Outcome:
        try:
            receipt = await deliver(claim, self._means)
        except (FileChangedError, FileGoneError):
            return Changed()
        except SourceError as error:
            return self._failed(claim, of_source(error, claim.path))
        except Fault as fault:
            return await self._faulted(claim, fault, started)
        except StateDirError:
            raise  # the journal's trouble is everyone's
        except Exception as error:  # noqa: BLE001 - a bug, or an error nobody thought of, in one file must not stop the others
            self._listener.surprised(claim, error)
            return self._failed(claim, Diagnosis(Kind.LOCAL, type(error).__name__, " ".join(str(error).split())))
        return self._delivered(claim, receipt)

    def _delivered(self, claim: Claim, receipt: Receipt) -> Outcome:
        self._listener.learned(self._means.ladder.known)
        if self._breaker.succeeded(self._means.clock.monotonic()):
            self._listener.resumed()
        after = self._means.routes[claim.route].after_upload
        due = None if after.action == "keep" else self._means.clock.now() + after.grace
        return Delivered(receipt, due)

    async def _faulted(self, claim: Claim, fault: Fault, started: float) -> Outcome:
        diagnosis = fault.diagnosis
        now = self._means.clock.monotonic()
        if slows_everyone(diagnosis):
            self._limit.pushed_back(now)
        if not of_the_destination(diagnosis):
            return self._failed(claim, diagnosis)
        verdict = self._breaker.refused(started, now, random.random())  # noqa: S311 - spreads load
        retry_in = (self._breaker.retry_at or now) - now
        match verdict:
            case Refused.THIS_FILE if may_be_one_file_s(diagnosis):
                return self._failed(claim, diagnosis)
            case Refused.THIS_FILE:
                # A clock that jumps, or sessions revoked faster than they may be replaced: no file is to blame.
                return Retry(self._means.clock.now() + self._policy.delay(1, 1.0), diagnosis, counts=False)
            case Refused.PARKED:
                self._listener.parked(diagnosis, retry_in)
                await self._put_back()
            case Refused.STILL_PARKED:
                self._listener.still_parked(diagnosis, retry_in)
        if diagnosis.status in _REFUSED:
            self._suspect()
        return Retry(self._means.clock.now(), diagnosis, counts=False)

    def _failed(self, claim: Claim, diagnosis: Diagnosis) -> Outcome:
        decision = decide(diagnosis, claim.attempts, self._policy, random.random())  # noqa: S311 - spreads load
        if isinstance(decision, GiveUp):
            return Quarantine(decision.diagnosis)
        return Retry(self._means.clock.now() + decision.delay, diagnosis, drop_multipart=decision.drop_multipart)
