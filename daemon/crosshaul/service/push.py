"""One pass instead of a daemon: scan, settle, upload, finish; and its preview, which sends nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import Config, Route
from crosshaul.discovery.intake import Intake
from crosshaul.discovery.route_plan import plan_of
from crosshaul.display import text
from crosshaul.errors import ConfigError, StoppedError, unknown_name
from crosshaul.files.own_paths import OwnPaths
from crosshaul.journal import Reader
from crosshaul.model import (
    NO_PLAN,
    UNFINISHED,
    Changed,
    ChangedFiles,
    Claim,
    Delivered,
    Denial,
    Outcome,
    PlanId,
    PushProgress,
    PushSummary,
    Record,
    Recorded,
    RetryLater,
    RouteCounts,
    RoutePlan,
    RouteStatus,
    Settled,
    Sighting,
    State,
)
from crosshaul.service.builder import open_runtime
from crosshaul.service.runtime import Runtime
from crosshaul.service.shutdown import Shutdown
from crosshaul.service.supervisor import Service, Supervisor
from crosshaul.telemetry import logs
from crosshaul.telemetry.metrics import Metrics

_TICK = 0.2
_TRIES = 5
"""Failed tries after which a push stops waiting for a file; its record stays, for the next push or the daemon."""
_SILENT_TRIES = 3
"""The same where nothing answers, which takes half a minute each time."""
_RESTLESS_TRIES = 2
"""The same for a file that changes whenever it is to be sent; each takes up to settle.max_wait."""
_SILENCE = frozenset(
    {"ProgressTimeout", "ResponseTimeout", "TotalTimeout", "ReadTimeout", "ConnectTimeout", "TLSTimeout"}
)
_REFUSALS = 3
"""Refused canaries after which a push stops waiting for a parked destination."""
_UNREACHABLE_SECONDS = 15.0
"""For so long nothing may get through before a push stops waiting for a destination."""
_STAYING = 1000
"""Sources of a route that stay, of which it tells, at the most."""
_SENDING = 1000
"""Files being sent whose parts are counted, at the most."""


class PushObserver(Protocol):
    """Who is shown how far it is."""

    def tick(self, progress: PushProgress) -> None:
        """Called some five times a second."""


class _PushCounter:
    """What this push alone did."""

    def __init__(self) -> None:
        self.delivered = 0
        self.delivered_bytes = 0
        self.given_up: dict[str, set[int]] = {}
        """By route, files that failed often enough."""
        self.restless: dict[str, set[int]] = {}
        """By route, files that changed each time they were to be sent."""
        self._tries: dict[int, int] = {}
        self._moved = asyncio.Event()

    async def moved(self) -> None:
        """Come back when a try has ended, or soon."""
        self._moved.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK):
                await self._moved.wait()

    def ended(self, claim: Claim, outcome: Outcome, state: State) -> None:
        self._moved.set()
        if state is State.DELIVERED and isinstance(outcome, Delivered):
            self.delivered += 1
            self.delivered_bytes += outcome.receipt.size
        self.given_up.setdefault(claim.route, set()).discard(claim.id)
        self.restless.setdefault(claim.route, set()).discard(claim.id)
        match outcome:
            case Changed() if self._tried(claim) >= _RESTLESS_TRIES:
                self.restless[claim.route].add(claim.id)
            case RetryLater(diagnosis=diagnosis) if outcome.counts:
                if self._tried(claim) >= (_SILENT_TRIES if diagnosis.code in _SILENCE else _TRIES):
                    self.given_up[claim.route].add(claim.id)

    def _tried(self, claim: Claim) -> int:
        self._tries[claim.id] = self._tries.get(claim.id, 0) + 1
        return self._tries[claim.id]


async def push(config: Config, names: tuple[str, ...], watch: PushObserver) -> PushSummary:
    """Bring everything that is new or changed in the routes ``names`` (none = all) into the bucket.

    Raises ConfigError for an unknown route, LockedError, StateDirError, SourceError where a root can't be read;
    StoppedError after SIGTERM, once what was being sent has ended or shutdown_timeout is over.
    """
    routes = _chosen(config, names)
    shutdown = Shutdown(config.shutdown_timeout)
    shutdown.listen(signal.SIGTERM)
    working = asyncio.create_task(_pushed(config, routes, watch, shutdown.forced))
    asked = asyncio.create_task(shutdown.requested.wait())
    try:
        await asyncio.wait([working, asked], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            raise StoppedError(
                "Stopped: what is not delivered yet stays in the journal, and the next push goes on with it."
            )
        return working.result()
    finally:
        asked.cancel()
        working.cancel()
        await asyncio.gather(working, asked, return_exceptions=True)


async def _pushed(config: Config, routes: tuple[Route, ...], watch: PushObserver, hurry: asyncio.Event) -> PushSummary:
    clock = SystemClock()
    async with open_runtime(config, routes, clock) as runtime:
        await runtime.journal.make_due(list(runtime.routes))
        support_supervisor, sending = (Supervisor(clock, logs.get("crosshaul"), config.shutdown_timeout) for _ in "ab")
        this = _Pass(runtime, watch)
        attendants = [Service(f"attend.{name}", route.intake.attend) for name, route in runtime.routes.items()]
        services = [*attendants, *runtime.transfer_services(), *runtime.abort_services()]
        async with support_supervisor.around(runtime.support_services(), hurry), sending.around(services, hurry):
            await this.run()
        return await this.summary()


async def preview(config: Config, names: tuple[str, ...]) -> list[Settled]:
    """What a push would send, and where to; nothing is sent and nothing is written down.

    Works beside a running daemon. Raises ConfigError for an unknown route, StateDirError, SourceError.
    """
    routes = _chosen(config, names)
    journal = await asyncio.to_thread(_Peek, config.state_dir)
    try:
        return [settled for route in routes for settled in await _previewed(config, route, journal)]
    finally:
        journal.close()


async def _previewed(config: Config, route: Route, journal: _Peek) -> list[Settled]:
    """One route's: what is news, and what waits under the plan that the configuration makes."""
    destination = config.destinations[route.destination]
    plan = await asyncio.to_thread(journal.plan, plan_of(route, destination, socket.gethostname()))
    log, host, prefix = logs.get("intake").bind(route=route.name), socket.gethostname(), destination.key_prefix
    own = partial(OwnPaths.read, config)
    intake = Intake(route, journal, SystemClock(), Metrics(), log, host, prefix, plan, own=own)
    seen = await intake.preview()
    found = {settled.sighting.path: settled for settled in await asyncio.to_thread(journal.waiting, route.name, plan)}
    found |= {settled.sighting.path: settled for settled in await asyncio.to_thread(journal.to_send, route.name, seen)}
    return list(found.values())


class _Peek:
    """The journal as a preview sees it: read-only, and empty where there is none yet."""

    def __init__(self, state_dir: Path) -> None:
        self._reader = Reader.open(state_dir) if (state_dir / "journal.db").exists() else None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def plan(self, wanted: RoutePlan) -> PlanId:
        """See ``Reader.plan``."""
        return NO_PLAN if self._reader is None else self._reader.plan(wanted)

    def waiting(self, route: str, plan: PlanId) -> list[Settled]:
        """What earlier runs left unsent, where they would put it still."""
        if self._reader is None:
            return []
        return [
            Settled(Sighting(route, record.path, record.fingerprint), record.destination, record.key, plan=plan)
            for state in UNFINISHED
            for record in self._reader.records(state, route, None)
            if record.plan == plan.id
        ]

    def to_send(self, route: str, seen: Sequence[Settled]) -> list[Settled]:
        """Those of ``seen`` that are not in their place yet."""
        return list(seen) if self._reader is None else self._reader.to_send(route, seen)

    async def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int) -> ChangedFiles:
        """See ``Journal.filter_changed``."""
        if self._reader is None:
            return ChangedFiles(list(sightings), [])
        return await asyncio.to_thread(self._reader.filter_changed, route, sightings, plan)

    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """See ``Journal.recorded``."""
        return {} if self._reader is None else await asyncio.to_thread(self._reader.recorded, route, paths)

    async def admit(self, settled: Sequence[Settled]) -> Sequence[Denial]:
        raise AssertionError(f"a preview admits nothing, and was given {len(settled)} files")

    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None:
        raise AssertionError(f"a preview marks nothing as gone, and was given {len(paths)} files of {route}")

    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None:
        raise AssertionError(f"a preview excludes nothing, and was given {len(paths)} files of {route}")

    async def leftovers(self, route: str, plan: int, after: int) -> tuple[Sequence[bytes], int | None]:
        raise AssertionError(f"a preview judges nothing, and was asked for leftovers of {route} ({plan}, {after})")

    async def save_route(self, status: RouteStatus) -> None:
        raise AssertionError(f"a preview saves nothing, and was given {status.name}")


def _chosen(config: Config, names: Sequence[str]) -> tuple[Route, ...]:
    known = {route.name: route for route in config.routes}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError([unknown_name("route", name, known) for name in unknown])
    return tuple(known[name] for name in names) or config.routes


class _Pass:
    """Sweeps each root, and waits until everything found is in the bucket or given up."""

    def __init__(self, runtime: Runtime, watch: PushObserver) -> None:
        self._runtime = runtime
        self._watch = watch
        self._count = _PushCounter()
        self._began = runtime.clock.monotonic()
        self._swept = False
        for pipeline in runtime.destinations.values():
            pipeline.reporter.on_attempt_finished = self._count.ended

    async def run(self) -> None:
        """Everything a push does; raises SourceError where a root can't be read."""
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(self._tick())
            await self._sweep()
            await self._sent()
            await asyncio.gather(*(route.source_finisher.drain() for route in self._runtime.routes.values()))
            ticking.cancel()
        await self._show()

    async def _sweep(self) -> None:
        sweeps = (route.intake.sweep() for route in self._runtime.routes.values())
        results = await asyncio.gather(*sweeps, return_exceptions=True)
        self._swept = True
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _sent(self) -> None:
        """Wait until what is left has been tried often enough, or can't be tried."""
        while await self._hopeful():
            await self._count.moved()

    async def _hopeful(self) -> bool:
        """Whether anything may still get through; a destination that refuses again and again gets nothing."""
        return any(self._may_go(tally) for tally in await self._tallies() if not self._refused(tally.route))

    def _may_go(self, tally: RouteCounts) -> bool:
        waiting = tally.count(State.PENDING, State.UPLOADING)
        if waiting > len(self._count.given_up.get(tally.route, ())):
            return True
        # What changed when it was to be sent comes back only if intake is at it: its root may be gone, too.
        settling = tally.count(State.CHANGED) - len(self._count.restless.get(tally.route, ()))
        return settling > 0 and self._runtime.routes[tally.route].intake.busy

    def _refused(self, route: str) -> bool:
        reporter = self._runtime.destination_of(route).reporter
        return reporter.refused_canaries >= _REFUSALS or reporter.unreachable_seconds >= _UNREACHABLE_SECONDS

    async def _tallies(self) -> list[RouteCounts]:
        return [tally for tally in await self._runtime.journal.route_counts() if tally.route in self._runtime.routes]

    async def _tick(self) -> None:
        while True:
            await self._show()
            await asyncio.sleep(_TICK)

    async def _show(self) -> None:
        tallies, count = await self._tallies(), self._count
        left = sum(tally.count(*UNFINISHED) for tally in tallies)
        waiting_bytes = sum(tally.pending_bytes for tally in tallies)
        sending = [
            claim for pipeline in self._runtime.destinations.values() for claim in pipeline.reporter.uploading.values()
        ]
        waiting_bytes += sum(claim.fingerprint.size for claim in sending)
        large = any(claim.fingerprint.size >= self._runtime.config.transfer.multipart_threshold for claim in sending)
        parts = await asyncio.to_thread(self._parts_sent) if large else 0
        self._watch.tick(
            PushProgress(
                found=count.delivered + left,
                delivered=count.delivered,
                failed=sum(map(len, count.given_up.values()))
                + sum(tally.count(State.QUARANTINED) for tally in tallies),
                delivered_bytes=count.delivered_bytes + min(parts, waiting_bytes),
                total_bytes=count.delivered_bytes + waiting_bytes,
                current=tuple(text(claim.path) for claim in sending[:5]),
                settling=sum(route.intake.settling for route in self._runtime.routes.values()),
            )
        )

    def _parts_sent(self) -> int:
        """Bytes of unfinished files that are in the bucket: a large one would show nothing until its end."""
        with Reader.open(self._runtime.config.state_dir) as reader:
            return sum(record.multipart.sent for record in reader.uploading(_SENDING) if record.multipart)

    async def summary(self) -> PushSummary:
        """What came of it, with the record of each file that is not in the bucket."""
        failed = await asyncio.to_thread(self._unfinished)
        delivered = sum(tally.count(State.DELIVERED) for tally in await self._tallies())
        return PushSummary(
            delivered=self._count.delivered,
            unchanged=max(0, delivered - self._count.delivered),
            failed=failed,
            delivered_bytes=self._count.delivered_bytes,
            seconds=self._runtime.clock.monotonic() - self._began,
            staying=await asyncio.to_thread(self._staying),
            left_out=tuple(line for route in self._runtime.routes.values() for line in route.intake.problems),
        )

    def _staying(self) -> tuple[Record, ...]:
        with Reader.open(self._runtime.config.state_dir) as reader:
            return tuple(record for route in self._runtime.routes for record in reader.first_overdue(route, _STAYING))

    def _unfinished(self) -> tuple[Record, ...]:
        with Reader.open(self._runtime.config.state_dir) as reader:
            return tuple(
                replace(
                    record, diagnosis=record.diagnosis or self._runtime.destination_of(route).reporter.status.last_error
                )
                for route in self._runtime.routes
                for state in (*UNFINISHED, State.QUARANTINED)
                for record in reader.records(state, route, None)
            )
