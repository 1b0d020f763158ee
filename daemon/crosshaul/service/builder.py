"""The one place that constructs: what there is, in the order in which it is opened."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from crosshaul.aws import http1, tls_contexts
from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.conditional_writes import Conditions
from crosshaul.aws.control_client import Location, S3ControlClient
from crosshaul.aws.environment import check_surroundings
from crosshaul.aws.refresher import CredentialObserver, Refresher
from crosshaul.aws.upload_client import S3UploadClient
from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.concurrency.bandwidth import BandwidthLimiter
from crosshaul.concurrency.clock import Clock, SystemClock
from crosshaul.concurrency.request_slots import RequestSlots
from crosshaul.concurrency.semaphore import ByteSemaphore
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Config, Destination, Route, overlaps
from crosshaul.delivery.abandoned_uploads import Aborter
from crosshaul.delivery.after_upload.after_upload import SourceFinisher
from crosshaul.delivery.after_upload.object_check import ObjectCheck
from crosshaul.delivery.reporter import Reporter
from crosshaul.delivery.retry import RetryPolicy
from crosshaul.delivery.transfer import Transfer
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.discovery.intake import Intake
from crosshaul.discovery.ownership import Ownership
from crosshaul.discovery.retargeting import Retarget, retargets_of
from crosshaul.discovery.route_plan import places_of, plans_of
from crosshaul.errors import ConfigError, Diagnosis, Fault, FaultKind, StateDirError
from crosshaul.files.buffer_pool import BufferPool
from crosshaul.files.own_paths import OwnPaths
from crosshaul.files.reader import FileReader
from crosshaul.integrity.negotiation import ChecksumNegotiator
from crosshaul.journal import Journal
from crosshaul.model import DestinationState, DestinationStatus, PlanId
from crosshaul.service.runtime import DestinationPipeline, RoutePipeline, Runtime
from crosshaul.telemetry import logs
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.metrics import Metrics
from crosshaul.trust import capabilities
from crosshaul.trust.capabilities import Capabilities
from crosshaul.trust.diagnosis import with_advice

_THREADS = 16
"""For reading files and for their checksums; awscrt and the kernel let the others run meanwhile."""


@asynccontextmanager
async def open_runtime(config: Config, routes: Sequence[Route], clock: Clock) -> AsyncIterator[Runtime]:
    """Open the journal and construct what ``routes`` need; close everything at the end of the block.

    Raises LockedError, StateDirError, ConfigError.
    """
    http1.install_resolver()
    gc.freeze()  # what was imported stays: it need not be looked through again
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="crosshaul"))
    async with AsyncExitStack() as stack:
        journal = await Journal.open(config.state_dir, clock)
        stack.push_async_callback(journal.close)
        metrics, liveness = Metrics(), Liveness(clock.monotonic)
        runtime = Runtime(
            config, BaseCredentials(config.identity), clock, journal, metrics, liveness, BandwidthLimiter(clock)
        )
        journal.on_due(runtime.wake)
        journal.on_commit(lambda stats: metrics.committed(stats.seconds))
        stack.push_async_callback(runtime.close)
        await apply_config(runtime, config, routes)
        yield runtime


async def apply_config(
    runtime: Runtime, config: Config, routes: Sequence[Route]
) -> list[DestinationPipeline | RoutePipeline]:
    """Give the runtime what ``config`` asks for; what is made from the same stays. Gives what was taken out, unclosed.

    Raises ConfigError, and then nothing has changed.
    """
    known = {status.name: status for status in await runtime.journal.destinations()}
    await _check(config)
    capable = await asyncio.to_thread(_capabilities, config)
    builder = _PipelineBuilder(runtime, config)
    pipelines = {
        name: builder.pipeline(name, known.get(name), capable[name])
        for name in dict.fromkeys(route.destination for route in routes)
    }
    runtime.retargets = await retargets_of(runtime.journal, config, socket.gethostname())
    _log_retargets(runtime.retargets)
    plans = await runtime.journal.apply_plans(plans_of(config, socket.gethostname()), places_of(config))
    ways = {route.name: builder.way(route, plans[route.name]) for route in routes}
    before: list[DestinationPipeline | RoutePipeline] = [*runtime.destinations.values(), *runtime.routes.values()]
    pipelines_before = {route: runtime.pipeline_for(route) for route in runtime.routes}
    runtime.metrics.expect([route.name for route in routes], set(pipelines))
    runtime.config, runtime.base_credentials, runtime.destinations, runtime.routes, runtime.plans = (
        config,
        builder.base_credentials,
        pipelines,
        ways,
        plans,
    )
    runtime.paused.intersection_update(ways)
    runtime.in_transit.update(
        route for route, pipeline in pipelines_before.items() if runtime.current_pipeline_for(route) is not pipeline
    )
    if pipelines_before:
        runtime.in_transit.update(route for route in ways if route not in pipelines_before)
    runtime.assign()
    for pipeline in pipelines.values():
        # What is in force now has to be begun, whatever becomes of a status: its reporter saves it later.
        with suppress(StateDirError):
            await pipeline.reporter.flush()
    after = {id(each) for each in (*pipelines.values(), *ways.values())}
    return [each for each in before if id(each) not in after]


async def _check(config: Config) -> None:
    """Refuse what the surroundings make impossible, and log what they change. Raises ConfigError."""
    await asyncio.to_thread(check_surroundings, config, os.environ)
    for line in config.environment_notes:
        logs.get("crosshaul").warning("endpoint_from_environment", endpoint=line)
    for line in await asyncio.to_thread(overlaps, config):
        logs.get("crosshaul").warning("keys_may_meet", hint=line)


def _log_retargets(retargets: Sequence[Retarget]) -> None:
    """Say what goes again before it begins to."""
    for retarget in retargets:
        logs.get("crosshaul").warning(
            "target_changed",
            route=retarget.route,
            source=retarget.source,
            target=retarget.target,
            files=retarget.files,
            bytes=retarget.bytes,
            counted_all=retarget.counted_all,
        )


def _capabilities(config: Config) -> dict[str, Capabilities]:
    return {name: capabilities.load(config.state_dir, each) for name, each in config.destinations.items()}


class _PipelineBuilder:
    """Puts the parts together, for one configuration; takes over what the runtime has of the same."""

    def __init__(self, runtime: Runtime, config: Config) -> None:
        self._runtime = runtime
        self._config = config
        self.base_credentials = (
            runtime.base_credentials if runtime.config.identity == config.identity else BaseCredentials(config.identity)
        )

    def pipeline(self, name: str, known: DestinationStatus | None, capable: Capabilities) -> DestinationPipeline:
        """A destination's refresher, bucket and loop."""
        config, there = self._config, self._runtime.destinations.get(name)
        destination = config.destinations[name]
        # The bandwidth limit is the process's, and changes without a new pipeline.
        sizes = config.transfer.model_copy(update={"bandwidth": ()})
        built_from = (destination, config.identity, sizes, config.retry, config.source_name)
        if there is not None and there.built_from == built_from and not self._loses_routes(name):
            return there
        reporter = self._reporter(destination, known)
        watcher = _Renewals(reporter)
        clock, line = self._runtime.clock, self._runtime.bandwidth
        refresher, bucket = open_bucket(destination, self.base_credentials, config, clock, line, watcher)
        limit = AdaptiveLimit(config.transfer.max_concurrency)
        honoured = (known.checksum_kind if known else None) or capable.checksum
        context = self._context(destination, bucket, limit, ChecksumNegotiator(honoured), reporter, capable)
        policy = RetryPolicy(config.retry.initial, config.retry.max, config.retry.quarantine_after)
        transfer = Transfer(context, self._runtime.journal, limit, policy, reporter, refresher.suspect)
        watcher.on_renewed = transfer.probe
        reporter.on_changed = self._runtime.hint
        objects = ObjectCheck(destination.bucket, bucket, context.conditions)
        aborter = Aborter(
            destination.place, self._runtime.journal, bucket, clock, reporter, may_abort=context.may_abort
        )
        return DestinationPipeline(built_from, refresher, bucket, reporter, transfer, context.files, objects, aborter)

    def _loses_routes(self, name: str) -> bool:
        """Whether a route goes elsewhere now, or nowhere: what is being sent of it has to end before others take over.

        No two pipelines may hold claims of one route, and another route may be about to send to the same keys.
        """
        stay = {route.name for route in self._config.routes if route.destination == name}
        return not stay.issuperset(self._runtime.routes_of(name))

    def way(self, route: Route, plan: PlanId) -> RoutePipeline:
        """A route's intake and what comes after."""
        prefix, there = self._config.destinations[route.destination].key_prefix, self._runtime.routes.get(route.name)
        built_from = (route, prefix, plan)
        if there is not None and there.built_from == built_from:
            return there
        runtime, threads = self._runtime, ThreadPool(1, f"after-{route.name}")
        log, own = logs.get("intake").bind(route=route.name), lambda: OwnPaths.read(runtime.config)
        host, look = socket.gethostname(), runtime.stat_paths
        intake = Intake(
            route, runtime.journal, runtime.clock, runtime.metrics, log, host, prefix, plan, look, own, runtime.links
        )
        ownership, roots = Ownership(lambda: runtime.config, runtime.links), [each.path for each in self._config.routes]
        objects = lambda: runtime.pipeline_for(route.name).objects  # noqa: E731 - a reload may replace it
        after = SourceFinisher(
            route, runtime.journal, runtime.clock, threads, logs.get("after"), ownership, objects, roots
        )
        return RoutePipeline(built_from, intake, after, threads)

    def _reporter(self, destination: Destination, known: DestinationStatus | None) -> Reporter:
        kind = known.checksum_kind if known else None
        status = DestinationStatus(destination.name, DestinationState.STARTING, checksum_kind=kind)
        runtime, log = self._runtime, logs.get("transfer")
        judge = partial(with_advice, destination)
        return Reporter(status, runtime.journal, runtime.clock, runtime.metrics, runtime.liveness, log, judge)

    def _context(
        self,
        destination: Destination,
        bucket: Bucket,
        limit: AdaptiveLimit,
        negotiator: ChecksumNegotiator,
        observer: Reporter,
        capable: Capabilities,
    ) -> UploadContext:
        runtime, most = self._runtime, self._config.transfer.max_concurrency
        return UploadContext(
            destination=destination,
            bucket=bucket,
            journal=runtime.journal,
            routes={},
            sizes=self._config.transfer,
            memory=ByteSemaphore(runtime.memory_share),
            buffers=BufferPool(),
            memory_of_small=ByteSemaphore(runtime.memory_share_of_small),
            slots=RequestSlots(lambda: limit.limit, most),
            negotiator=negotiator,
            may_abort=capable.abort_allowed is not False,
            clock=runtime.clock,
            files=FileReader(),
            conditions=Conditions(honoured=True if destination.endpoint_url is None else capable.conditions),
            observer=observer,
        )


@asynccontextmanager
async def open_destination(
    config: Config, destination: Destination, chain: BaseCredentials
) -> AsyncIterator[tuple[Refresher, Bucket]]:
    """One destination by itself, for as long as the block lasts: what a check and the demo look into."""
    http1.install_resolver()
    clock = SystemClock()
    refresher, bucket = open_bucket(destination, chain, config, clock, BandwidthLimiter(clock), _NullObserver())
    stop = asyncio.Event()
    refreshing = asyncio.create_task(refresher.run(stop))
    try:
        yield refresher, bucket
    finally:
        stop.set()
        await refreshing
        await bucket.close()


class _NullObserver:
    """Whoever asks for the credentials hears it anyway."""

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        """Passed over."""

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        """Passed over."""


def open_bucket(
    destination: Destination,
    chain: BaseCredentials,
    config: Config,
    clock: Clock,
    line: BandwidthLimiter,
    watcher: CredentialObserver,
) -> tuple[Refresher, Bucket]:
    """The way into a destination's bucket: whose credentials, and the calls."""
    most = config.transfer.max_concurrency
    profile = config.identity.profile
    refresher = Refresher(chain.trusting(destination.tls_ca_bundle), destination, clock, watcher)
    control = S3ControlClient(destination, refresher, profile)
    wire = _wire(destination, profile, clock, line, most)
    return refresher, Bucket(destination, refresher, control, wire, config.source_name)


def _wire(
    destination: Destination, profile: str | None, clock: Clock, line: BandwidthLimiter, most: int
) -> Callable[[Location], S3UploadClient]:
    def to(location: Location) -> S3UploadClient:
        origin = http1.Origin(location.scheme, location.host, location.port)
        tls = _tls(destination, profile) if location.scheme == "https" else None
        client = http1.Client(
            origin,
            tls=tls,
            max_connections=most,
            deadlines=http1.Deadlines(),
            proxy=_proxy_for(origin),
            pace=line.share(),
        )
        return S3UploadClient(client, location, destination.region, clock, line.rate)

    return to


class _Renewals:
    """Passes the refresher's news on to the reporter, and good news to the transfer loop."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.on_renewed: Callable[[], None] = lambda: None

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        self._reporter.renewed(destination, expires_in, external_id)
        self.on_renewed()

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        self._reporter.refused(destination, diagnosis, expires_in)


def _tls(destination: Destination, profile: str | None) -> ssl.SSLContext:
    try:
        return tls_contexts.for_bucket(destination, profile)
    except ConfigError as error:
        raise Fault(Diagnosis(FaultKind.DESTINATION, "TLSError", str(error), "Connect")) from error


def _proxy_for(origin: http1.Origin) -> http1.Proxy | None:
    try:
        return http1.proxy_for(origin, os.environ)
    except ConfigError as error:
        raise Fault(Diagnosis(FaultKind.DESTINATION, "ProxyError", str(error), "Connect")) from error
