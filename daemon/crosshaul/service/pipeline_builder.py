"""Build the pipelines of one configuration, and keep those of a runtime that the configuration does not change."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from crosshaul.aws import http1
from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.conditional_writes import Conditions
from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.concurrency.request_slots import RequestSlots
from crosshaul.concurrency.semaphore import ByteSemaphore
from crosshaul.concurrency.thread_pool import ThreadPool
from crosshaul.config import Config, Destination, Route
from crosshaul.delivery.abandoned_uploads import UploadAborter
from crosshaul.delivery.after_upload.object_check import ObjectCheck
from crosshaul.delivery.after_upload.source_finisher import SourceFinisher
from crosshaul.delivery.reporter import Reporter
from crosshaul.delivery.retry import RetryPolicy
from crosshaul.delivery.transfer_loop import Transfer
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.discovery.intake import Intake
from crosshaul.discovery.ownership import Ownership
from crosshaul.errors import Diagnosis
from crosshaul.files.buffer_pool import BufferPool
from crosshaul.files.own_paths import OwnPaths
from crosshaul.files.reader import FileReader
from crosshaul.integrity.negotiation import ChecksumNegotiator
from crosshaul.model import DestinationState, DestinationStatus, PlanId
from crosshaul.service.bucket_access import DEADLINES, open_bucket
from crosshaul.service.pipelines import DestinationPipeline, RoutePipeline
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry import logs
from crosshaul.trust.diagnosis import with_advice
from crosshaul.trust.saved_capabilities import Capabilities


class _CredentialRelay:
    """A CredentialObserver that informs the reporter, and the transfer of each renewal."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.on_renewed: Callable[[], None] = lambda: None

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        self._reporter.renewed(destination, expires_in, external_id)
        self.on_renewed()

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        self._reporter.refused(destination, diagnosis, expires_in)


class PipelineBuilder:
    """Builds the pipelines of ``config`` for a runtime.

    ``observed`` may wrap each destination's reporter before the other parts get it; ``deadlines`` are those of uploads.
    """

    def __init__(
        self,
        runtime: Runtime,
        config: Config,
        *,
        observed: Callable[[Reporter], Reporter] = lambda reporter: reporter,
        deadlines: http1.Deadlines = DEADLINES,
    ) -> None:
        self._runtime = runtime
        self._config = config
        self._observed = observed
        self._deadlines = deadlines
        same_identity = runtime.config.identity == config.identity
        self.base_credentials = runtime.base_credentials if same_identity else BaseCredentials(config.identity)

    def destination(
        self, name: str, status: DestinationStatus | None, capabilities: Capabilities
    ) -> DestinationPipeline:
        """Return the pipeline of a destination: the runtime's own, if nothing that it depends on has changed.

        ``status`` is the last one in the journal; ``capabilities`` are what the last check found.
        """
        config, current = self._config, self._runtime.destinations.get(name)
        destination = config.destinations[name]
        # The bandwidth limit is the process's and changes without a new pipeline.
        sizes = config.transfer.model_copy(update={"bandwidth": ()})
        built_from = (destination, config.identity, sizes, config.retry, config.source_name)
        if current is not None and current.built_from == built_from and not self._loses_routes(name):
            return current
        return self._new_destination(built_from, destination, status, capabilities)

    def _loses_routes(self, name: str) -> bool:
        """Return whether a route leaves the destination: its uploads must end before another pipeline claims from it.

        No two pipelines may hold claims of one route, and another route may be about to send to the same keys.
        """
        stay = {route.name for route in self._config.routes if route.destination == name}
        return not stay.issuperset(self._runtime.routes_of(name))

    def _new_destination(
        self,
        built_from: tuple[object, ...],
        destination: Destination,
        status: DestinationStatus | None,
        capabilities: Capabilities,
    ) -> DestinationPipeline:
        config, runtime = self._config, self._runtime
        reporter = self._reporter(destination, status)
        relay = _CredentialRelay(reporter)
        refresher, bucket = open_bucket(
            config, destination, self.base_credentials, runtime.clock, runtime.bandwidth, relay, self._deadlines
        )
        limit = AdaptiveLimit(config.transfer.max_concurrency)
        negotiator = ChecksumNegotiator((status.checksum_kind if status else None) or capabilities.checksum)
        context = self._upload_context(destination, bucket, limit, negotiator, reporter, capabilities)
        policy = RetryPolicy(config.retry.initial, config.retry.max, config.retry.quarantine_after)
        transfer = Transfer(context, runtime.journal, limit, policy, reporter, refresher.suspect)
        relay.on_renewed = transfer.probe_now
        reporter.on_file_changed = runtime.hint
        return DestinationPipeline(
            built_from=built_from,
            refresher=refresher,
            bucket=bucket,
            reporter=reporter,
            transfer=transfer,
            context=context,
            limit=limit,
            object_check=ObjectCheck(destination.bucket, bucket, context.conditions),
            aborter=UploadAborter(
                destination.place, runtime.journal, bucket, runtime.clock, reporter, may_abort=context.may_abort
            ),
        )

    def _reporter(self, destination: Destination, status: DestinationStatus | None) -> Reporter:
        checksum_kind = status.checksum_kind if status else None
        starting = DestinationStatus(destination.name, DestinationState.STARTING, checksum_kind=checksum_kind)
        runtime, log, advise = self._runtime, logs.get("transfer"), partial(with_advice, destination)
        reporter = Reporter(starting, runtime.journal, runtime.clock, runtime.metrics, runtime.liveness, log, advise)
        return self._observed(reporter)

    def _upload_context(
        self,
        destination: Destination,
        bucket: Bucket,
        limit: AdaptiveLimit,
        negotiator: ChecksumNegotiator,
        reporter: Reporter,
        capabilities: Capabilities,
    ) -> UploadContext:
        runtime = self._runtime
        return UploadContext(
            destination=destination,
            bucket=bucket,
            journal=runtime.journal,
            routes={},
            sizes=self._config.transfer,
            memory=ByteSemaphore(runtime.memory_share),
            buffers=BufferPool(),
            memory_of_small=ByteSemaphore(runtime.memory_share_of_small),
            slots=RequestSlots(lambda: limit.limit, self._config.transfer.max_concurrency),
            negotiator=negotiator,
            may_abort=capabilities.abort_allowed is not False,
            clock=runtime.clock,
            files=FileReader(),
            conditions=Conditions(honoured=True if destination.endpoint_url is None else capabilities.conditions),
            observer=reporter,
        )

    def route(self, route: Route, plan: PlanId) -> RoutePipeline:
        """Return the pipeline of a route: the runtime's own, if nothing that it depends on has changed."""
        prefix = self._config.destinations[route.destination].key_prefix
        built_from = (route, prefix, plan)
        current = self._runtime.routes.get(route.name)
        if current is not None and current.built_from == built_from:
            return current
        threads = ThreadPool(1, f"after-{route.name}")
        return RoutePipeline(
            built_from,
            _intake(self._runtime, route, prefix, plan),
            _source_finisher(self._runtime, self._config, route, threads),
            threads,
        )


def _intake(runtime: Runtime, route: Route, prefix: str, plan: PlanId) -> Intake:
    log = logs.get("intake").bind(route=route.name)
    return Intake(
        route,
        runtime.journal,
        runtime.clock,
        runtime.metrics,
        log,
        socket.gethostname(),
        prefix,
        plan,
        runtime.stat_paths,
        lambda: OwnPaths.read(runtime.config),
        runtime.links,
    )


def _source_finisher(runtime: Runtime, config: Config, route: Route, threads: ThreadPool) -> SourceFinisher:
    ownership = Ownership(lambda: runtime.config, runtime.links)
    return SourceFinisher(
        route,
        runtime.journal,
        runtime.clock,
        threads,
        logs.get("after"),
        ownership,
        lambda: runtime.destination_of(route.name).object_check,  # a reload may replace the pipeline
        [other.path for other in config.routes],
    )
