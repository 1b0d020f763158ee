"""Send one destination's queued files: claim, upload, record the outcome.

Each destination has its own loop (workers, adaptive limit, breaker), so that a destination that fails or stalls delays
no other. A file is claimed only when there is capacity to send it soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.config import Route
from crosshaul.delivery.attempt import AttemptRunner
from crosshaul.delivery.breaker import Breaker
from crosshaul.delivery.dispatcher import Dispatcher
from crosshaul.delivery.lost_claims import LostClaimDetector
from crosshaul.delivery.outcome_mapping import Outcomes
from crosshaul.delivery.retry import RetryPolicy
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.delivery.workers import TransferJournal, TransferObserver, UploadWorkers
from crosshaul.journal.canary_choice import Canaries


class Transfer:
    """The transfer loop of one destination. Call ``wake`` and ``probe_now`` on the event loop's thread only."""

    def __init__(
        self,
        context: UploadContext,
        journal: TransferJournal,
        limit: AdaptiveLimit,
        policy: RetryPolicy,
        observer: TransferObserver,
        suspect_session: Callable[[], None],
    ) -> None:
        self._breaker, canaries = Breaker(policy), Canaries()
        outcomes = Outcomes(context, limit, self._breaker, canaries, policy, observer, suspect_session)
        self._context = replace(
            context, on_body_accepted=outcomes.body_accepted, on_request_accepted=outcomes.request_accepted
        )
        self._journal = journal
        self._limit = limit
        self._observer = observer
        self._dispatcher = Dispatcher(journal, context.clock, self._breaker, canaries, context.files.is_hanging)
        attempts = AttemptRunner(self._context, outcomes, self._dispatcher, observer)
        self._workers = UploadWorkers(
            self._context, journal, self._breaker, self._dispatcher, attempts, policy, observer
        )
        context.files.observe(self._workers.replace_stuck, observer.on_read_hang, self._read_recovered)
        self._lost_claims = LostClaimDetector(
            journal, lambda: self._dispatcher.routes, self._workers.held_ids, observer.on_claims_lost
        )

    def set_routes(self, routes: Mapping[str, Route], claimed: Iterable[str], plans: Mapping[str, int]) -> None:
        """Serve ``routes``, and claim files of the routes named in ``claimed``, by ``plans``.

        Uploads in progress end as they began.
        """
        self._context.routes.update(routes)
        self._context.plans.clear()
        self._context.plans.update(plans)
        self._dispatcher.routes = tuple(claimed)
        self._context.files.share_among(len(self._context.routes))
        self.wake()

    @property
    def accepted_bodies(self) -> int:
        """Number of bodies that S3 has accepted: whole files and parts."""
        return self._limit.taken

    def wake(self) -> None:
        """Ask the journal for new files now."""
        self._dispatcher.wake(arrived=True)

    def probe_now(self) -> None:
        """Send a canary at once if the breaker is tripped: new credentials, say, may have solved the problem."""
        self._breaker.canaries.send_now(self._context.clock.monotonic())
        self._dispatcher.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop``; then finish the uploads in progress and release the other claims."""
        self._workers.reset(stop)
        self._breaker.canaries.forget()
        await self._journal.reclaim(tuple(self._context.routes))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._wake_at(stop))
                group.create_task(self._workers.report_finished())
                group.create_task(self._lost_claims.run(stop))
                await self._send(stop)
                self._workers.close_reports()
        finally:
            self._workers.cancel_unreported()

    async def _send(self, stop: asyncio.Event) -> None:
        workers = self._workers
        async with asyncio.TaskGroup() as group:
            workers.start(group)
            try:
                await self._dispatcher.run(stop, workers.small, workers.large, self._report_load)
            finally:
                workers.stop_replacing()
            await workers.release_unstarted()
            workers.close()

    def _report_load(self) -> None:
        self._observer.on_load(self._context.slots.used, self._limit.limit)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._dispatcher.wake()

    def _read_recovered(self, route: str, seconds: float) -> None:
        self._observer.on_read_recovered(route, seconds)
        self._dispatcher.wake()
