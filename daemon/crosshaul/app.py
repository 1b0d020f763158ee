"""The one place that constructs: what there is, in the order in which it is opened."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from crosshaul.after import After
from crosshaul.aws import http1
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.chain import Chain
from crosshaul.aws.control import Control, Location
from crosshaul.aws.identity import Refresher
from crosshaul.aws.wire import SLOWEST, Wire
from crosshaul.clock import Clock
from crosshaul.config import Config, Destination, Route
from crosshaul.errors import ConfigError, Diagnosis, Fault, Kind
from crosshaul.flow import Budget, line
from crosshaul.intake import Intake
from crosshaul.journal import Journal
from crosshaul.model import DestinationState, DestinationStatus
from crosshaul.pace import AdaptiveLimit, Step
from crosshaul.report import Reporter
from crosshaul.retry import Policy
from crosshaul.supervisor import Service
from crosshaul.telemetry import logs
from crosshaul.telemetry.health import Pulse
from crosshaul.telemetry.metrics import Metrics
from crosshaul.threads import Threads
from crosshaul.transfer import Transfer
from crosshaul.upload import Means
from crosshaul.verify import Ladder

_THREADS = 16
"""For reading files and for their checksums; awscrt and the kernel let the others run meanwhile."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One destination with all that serves it."""

    refresher: Refresher
    bucket: Bucket
    reporter: Reporter
    transfer: Transfer
    threads: Threads
    routes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class House:
    """Everything that a daemon or a push consists of, opened."""

    config: Config
    clock: Clock
    journal: Journal
    metrics: Metrics
    pulse: Pulse
    lanes: dict[str, Lane]
    intakes: dict[str, Intake]
    afters: tuple[After, ...]

    def carriers(self) -> list[Service]:
        """The services that move files; they stop first."""
        services = [Service(f"intake.{name}", intake.run) for name, intake in self.intakes.items()]
        return [*services, *self.senders(), *(Service(f"after.{after.route}", after.run) for after in self.afters)]

    def senders(self) -> list[Service]:
        """The services that send."""
        return [Service(f"transfer.{name}", lane.transfer.run) for name, lane in self.lanes.items()]

    def lane_of(self, route: str) -> Lane:
        """The lane that serves a route."""
        return next(lane for lane in self.lanes.values() if route in lane.routes)

    def helpers(self) -> list[Service]:
        """The services that the others need to the last."""
        services = [Service(f"credentials.{name}", lane.refresher.run) for name, lane in self.lanes.items()]
        services += [Service(f"report.{name}", lane.reporter.run) for name, lane in self.lanes.items()]
        return services


@asynccontextmanager
async def opened(config: Config, routes: Sequence[Route], clock: Clock) -> AsyncIterator[House]:
    """Open the journal and construct what ``routes`` need; close everything at the end of the block.

    Raises LockedError or StateDirError.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="crosshaul"))
    async with AsyncExitStack() as stack:
        journal = await Journal.open(config.state_dir, clock)
        stack.push_async_callback(journal.close)
        metrics, pulse = Metrics(), Pulse(clock.monotonic)
        metrics.expect([route.name for route in routes], {route.destination for route in routes})
        builder = _Builder(config, clock, journal, metrics, pulse)
        known = {status.name: status for status in await journal.destinations()}
        lanes = {}
        for name in dict.fromkeys(route.destination for route in routes):
            lanes[name] = builder.lane(config.destinations[name], routes, known.get(name))
            stack.push_async_callback(lanes[name].bucket.close)
            stack.callback(lanes[name].threads.close)
        intakes = {route.name: builder.intake(route) for route in routes}
        for intake in intakes.values():
            stack.callback(intake.close)
        for lane in lanes.values():
            await lane.reporter.flush()
        afters = []
        for route in config.routes:
            threads = Threads(1, f"after-{route.name}")
            stack.callback(threads.close)
            afters.append(After(route, journal, clock, threads, logs.get("after")))
        yield House(config, clock, journal, metrics, pulse, lanes, intakes, tuple(afters))


class _Builder:
    """Puts the parts together; holds what they share."""

    def __init__(self, config: Config, clock: Clock, journal: Journal, metrics: Metrics, pulse: Pulse) -> None:
        self._config = config
        self._clock = clock
        self._journal = journal
        self._metrics = metrics
        self._pulse = pulse
        self._chain = Chain(config.identity)
        self._line = line(_steps(config), clock)
        self._intakes: dict[str, Intake] = {}

    def lane(self, destination: Destination, routes: Sequence[Route], known: DestinationStatus | None) -> Lane:
        """A destination's refresher, bucket and loop."""
        if destination.tls_ca_bundle is not None:
            http1.tls_context(destination.tls_ca_bundle)  # told at the start, rather than by the first upload
        reporter = self._reporter(destination, known)
        watcher = _Renewals(reporter)
        refresher = Refresher(self._chain, destination, self._clock, watcher)
        control = Control(destination, refresher, self._config.identity.profile)
        bucket = Bucket(destination, refresher, control, self._wire(destination))
        limit = AdaptiveLimit(self._config.transfer.max_concurrency)
        means = self._means(destination, routes, bucket, limit, Ladder(known.checksum_kind if known else None))
        retry = self._config.retry
        policy = Policy(retry.initial, retry.max, retry.quarantine_after)
        transfer = Transfer(means, self._journal, limit, policy, reporter, refresher.suspect)
        watcher.on_renewed = transfer.probe
        self._journal.on_due(transfer.wake)
        reporter.on_changed = self._look_again
        return Lane(refresher, bucket, reporter, transfer, means.threads, tuple(means.routes))

    def intake(self, route: Route) -> Intake:
        """A route's loop."""
        log = logs.get("intake").bind(route=route.name)
        prefix = self._config.destinations[route.destination].key_prefix
        intake = Intake(route, self._journal, self._clock, self._metrics, log, socket.gethostname(), prefix)
        self._intakes[route.name] = intake
        return intake

    def _look_again(self, route: str, path: bytes) -> None:
        if route in self._intakes:
            self._intakes[route].hint(path)

    def _reporter(self, destination: Destination, known: DestinationStatus | None) -> Reporter:
        kind = known.checksum_kind if known else None
        status = DestinationStatus(destination.name, DestinationState.STARTING, checksum_kind=kind)
        log = logs.get("transfer")
        return Reporter(status, self._journal, self._clock, self._metrics, self._pulse, log)

    def _means(
        self, destination: Destination, routes: Sequence[Route], bucket: Bucket, limit: AdaptiveLimit, ladder: Ladder
    ) -> Means:
        sizes = self._config.transfer
        # An equal share each, so that a destination that stalls can't sit on all the memory.
        share = max(sizes.part_size, sizes.memory_limit // max(1, len({route.destination for route in routes})))
        return Means(
            destination=destination,
            bucket=bucket,
            journal=self._journal,
            routes={route.name: route for route in routes if route.destination == destination.name},
            sizes=sizes,
            memory=Budget(lambda: share),
            slots=Budget(lambda: limit.limit),
            ladder=ladder,
            answered=limit.succeeded,
            clock=self._clock,
            threads=Threads(_THREADS, f"send-{destination.name}"),
        )

    def _wire(self, destination: Destination) -> Callable[[Location], Wire]:
        def to(location: Location) -> Wire:
            origin = http1.Origin(location.scheme, location.host, location.port)
            tls = _tls(destination) if location.scheme == "https" else None
            client = http1.Client(
                origin,
                tls=tls,
                max_connections=self._config.transfer.max_concurrency,
                deadlines=http1.Deadlines(),
                proxy=http1.proxy_for(origin, os.environ),
                pace=self._line,
            )
            return Wire(client, location, destination.region, self._clock, _slowest(self._config))

        return to


class _Renewals:
    """Passes the refresher's news on to the reporter, and good news to the transfer loop."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.on_renewed: Callable[[], None] = lambda: None

    def renewed(self, destination: str, expires_in: float | None) -> None:
        self._reporter.renewed(destination, expires_in)
        self.on_renewed()

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        self._reporter.refused(destination, diagnosis, expires_in)


def _tls(destination: Destination) -> ssl.SSLContext:
    try:
        return http1.tls_context(destination.tls_ca_bundle)
    except ConfigError as error:
        raise Fault(Diagnosis(Kind.DESTINATION, "TLSError", str(error), "Connect")) from error


def _slowest(config: Config) -> float:
    """Bytes a second that a body may count on; a bandwidth limit shared by all connections is no stall."""
    rates = [step.bytes_per_second for step in config.transfer.bandwidth if step.bytes_per_second]
    return min([SLOWEST, *(rate / (2 * config.transfer.max_concurrency) for rate in rates)])


def _steps(config: Config) -> tuple[Step, ...]:
    return tuple(Step(step.start, step.bytes_per_second) for step in config.transfer.bandwidth)
