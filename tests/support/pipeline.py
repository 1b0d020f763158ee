"""One destination's pipeline as the daemon builds it, on real files, a journal and the strict partner account."""

from __future__ import annotations

import asyncio
import gc
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import structlog

from crosshaul.aws import http1
from crosshaul.aws.bucket import Bucket
from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import AfterUploadConfig, Config, RetryConfig
from crosshaul.delivery.reporter import Reporter
from crosshaul.delivery.transfer_loop import Transfer
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Diagnosis
from crosshaul.journal import Journal
from crosshaul.model import (
    ChecksumKind,
    Claim,
    Fingerprint,
    HeldClaim,
    Outcome,
    Record,
    Settled,
    SettleReason,
    Sighting,
    State,
)
from crosshaul.partner import PartnerAccount
from crosshaul.service.builder import open_runtime
from crosshaul.service.pipeline_builder import PipelineBuilder
from crosshaul.service.pipelines import DestinationPipeline
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry import logs
from crosshaul.trust.saved_capabilities import Capabilities

MIB = 1 << 20
USUAL = http1.Deadlines()
"""The daemon's own: a busy machine is not taken for a silent account."""
QUICK = http1.Deadlines(progress=0.6, response=0.6)
"""For tests of an account that is silent. Any request may exceed them on a busy machine, and is then tried again."""


class RecordingReporter:
    """Records what the transfer loop reports, and passes it on to the daemon's reporter."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.outcomes: list[tuple[bytes, Outcome]] = []
        self.parkings: list[Diagnosis] = []
        self.refusals: list[Diagnosis] = []
        self.surprises: list[Exception] = []
        self.overwritten: list[tuple[str, str]] = []
        self.ignored = 0
        self.lost: list[bytes] = []
        self.restless: list[int] = []
        self.outages: list[Diagnosis] = []
        self.resumptions = self.recoveries = 0
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reporter, name)

    @property
    def on_file_changed(self) -> Callable[[str, bytes], None]:
        return self._reporter.on_file_changed

    @on_file_changed.setter
    def on_file_changed(self, callback: Callable[[str, bytes], None]) -> None:
        self._reporter.on_file_changed = callback

    def on_started(self, claim: Claim) -> None:
        self.sent += 1
        self._reporter.on_started(claim)

    def on_finished(self, claim: Claim, outcome: Outcome, state: State, seconds: float) -> None:
        self.outcomes.append((claim.path, outcome))
        self._reporter.on_finished(claim, outcome, state, seconds)

    def on_unexpected_error(self, claim: Claim, error: Exception) -> None:
        self.surprises.append(error)
        self._reporter.on_unexpected_error(claim, error)

    def on_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        self.parkings.append(diagnosis)
        self._reporter.on_parked(diagnosis, retry_in)

    def on_still_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        self.refusals.append(diagnosis)
        self._reporter.on_still_parked(diagnosis, retry_in)

    def on_resumed(self) -> None:
        self.resumptions += 1
        self._reporter.on_resumed()

    def on_unreachable(self, diagnosis: Diagnosis, retry_in: float) -> None:
        self.outages.append(diagnosis)
        self._reporter.on_unreachable(diagnosis, retry_in)

    def on_reachable(self) -> None:
        self.recoveries += 1
        self._reporter.on_reachable()

    def on_claims_lost(self, claims: Sequence[HeldClaim]) -> None:
        self.lost += [claim.path for claim in claims]
        self._reporter.on_claims_lost(claims)

    def on_foreign_overwrite(self, claim: Claim, bucket: str, source: str) -> None:
        self.overwritten.append((claim.key, source))
        self._reporter.on_foreign_overwrite(claim, bucket, source)

    def on_conditions_ignored(self, bucket: str) -> None:
        self.ignored += 1
        self._reporter.on_conditions_ignored(bucket)

    def on_never_settled(self, claim: Claim, attempts: int) -> None:
        self.restless.append(attempts)
        self._reporter.on_never_settled(claim, attempts)


def _recorded(reporter: Reporter) -> Reporter:
    return cast("Reporter", RecordingReporter(reporter))


@dataclass
class Pipeline:
    """The pipeline and its parts, for a test."""

    root: Path
    account: PartnerAccount
    runtime: Runtime
    destination: DestinationPipeline
    observer: RecordingReporter
    log: io.StringIO
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    moving: asyncio.Task[None] | None = None
    group: asyncio.TaskGroup | None = None

    @property
    def journal(self) -> Journal:
        return self.runtime.journal

    @property
    def bucket(self) -> Bucket:
        return self.destination.bucket

    @property
    def context(self) -> UploadContext:
        return self.destination.context

    @property
    def transfer(self) -> Transfer:
        return self.destination.transfer

    @property
    def limit(self) -> AdaptiveLimit:
        return self.destination.limit

    async def drop(self, name: str, data: bytes) -> None:
        """Write a file and admit it to the journal as settled."""
        path = self.root / name
        path.write_bytes(data)
        await self.admit(name)

    async def admit(self, name: str, reason: SettleReason = SettleReason.QUIET) -> None:
        await self.admit_all([name], reason)

    async def admit_all(self, names: Sequence[str], reason: SettleReason = SettleReason.QUIET) -> None:
        """Admit existing files to the journal, all at once."""
        seen = [Sighting("r", os.fsencode(name), Fingerprint.of((self.root / name).stat())) for name in names]
        plan, pairs = self.runtime.plans["r"], zip(seen, names, strict=True)
        await self.journal.admit([Settled(each, "partner", name, reason=reason, plan=plan) for each, name in pairs])

    def start(self) -> None:
        """Start the loop."""
        assert self.group is not None
        self.moving = self.group.create_task(self.transfer.run(self.stop))

    async def stopped(self) -> None:
        """Wait until the loop has ended."""
        assert self.moving is not None
        await asyncio.wait({self.moving}, timeout=60)

    async def record(self, name: str) -> Record:
        found = await self.journal.find("r", os.fsencode(name))
        assert found is not None
        return found

    async def comes_to(self, name: str, *states: State, timeout: float = 60.0) -> Record:
        """Wait until the file is in one of the states."""
        async with asyncio.timeout(timeout):
            while (record := await self.record(name)).state not in states:
                await asyncio.sleep(0.02)
        return record

    def calls(self, operation: str) -> list[Any]:
        return [call for call in self.account.calls if call.operation == operation]


def _config(
    account: PartnerAccount,
    home: Path,
    *,
    retry: RetryConfig | None,
    route: dict[str, Any],
    destination: dict[str, Any],
    transfer: dict[str, Any],
    source: str,
) -> Config:
    """Return the configuration of one route, ``r``, and one destination, ``partner``."""
    partner = {
        "bucket": account.bucket, "endpoint_url": account.endpoint_url,
        "role_arn": account.role_arn, "external_id": account.external_id,
    }  # fmt: skip
    written = {
        "state_dir": home / "state",
        "source": source,
        "identity": {"sts_endpoint_url": account.sts_endpoint_url},
        "destinations": {"partner": partner | destination},
        "routes": [{"name": "r", "path": home / "root", "destination": "partner"} | route],
        "transfer": transfer,
        "retry": retry or RetryConfig(initial=0.05, max=0.4),
    }
    return Config.model_validate(written, context={"custom_sts": True})


@contextmanager
def _logging() -> Iterator[io.StringIO]:
    """Log as the daemon does, into the text that is yielded."""
    log = io.StringIO()
    logs.configure("debug", "json", log)
    try:
        yield log
    finally:
        structlog.reset_defaults()
        print(log.getvalue())


@asynccontextmanager
async def open_pipeline(
    account: PartnerAccount,
    home: Path,
    *,
    retry: RetryConfig | None = None,
    overwrite: str = "always",
    after: AfterUploadConfig | None = None,
    known: ChecksumKind | None = None,
    running: bool = True,
    memory: int = 64 * MIB,
    max_concurrency: int = 8,
    multipart_threshold: int = 6 * MIB,
    deadlines: http1.Deadlines = USUAL,
    source: str = "here",
    honoured: bool | None = None,
    key: str = "{path}",
    bytes_per_second: int | None = None,
    **destination: Any,
) -> AsyncIterator[Pipeline]:
    """Open everything of one destination; with ``running`` its loop runs.

    ``memory`` is what large files may take of it, at least a part; ``known`` and ``honoured`` are what a check found.
    """
    root = home / "root"
    root.mkdir(exist_ok=True)
    config = _config(
        account,
        home,
        retry=retry,
        route={"overwrite": overwrite, "after_upload": after or AfterUploadConfig(), "key": key},
        destination=destination,
        transfer={
            "part_size": 5 * MIB,
            "max_concurrency": max_concurrency,
            "memory_limit": memory + memory // 3,  # a quarter of all is for small files
            "bandwidth": bytes_per_second,
        },
        source=source,
    )
    # May be less than the configuration takes: an only part may be small.
    sizes = config.transfer.model_copy(update={"multipart_threshold": multipart_threshold})
    config = config.model_copy(update={"transfer": sizes})
    with _logging() as log:
        async with open_runtime(config, (), SystemClock()) as runtime:
            gc.unfreeze()  # one process opens many runtimes: what earlier tests left has to be collected
            build = PipelineBuilder(runtime, config, observed=_recorded, deadlines=deadlines)
            partner = build.destination("partner", None, Capabilities(checksum=known, conditions=honoured))
            (route,), plans = config.routes, runtime.plans
            runtime.replace_pipelines(config, {"partner": partner}, {"r": build.route(route, plans["r"])}, plans)
            observer = cast("RecordingReporter", partner.reporter)
            async with _running(Pipeline(root, account, runtime, partner, observer, log), running=running) as pipeline:
                yield pipeline


@asynccontextmanager
async def _running(pipeline: Pipeline, *, running: bool) -> AsyncIterator[Pipeline]:
    """Run what the loop needs, and the loop itself if ``running``, for the length of the block."""
    stop_support = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for service in pipeline.runtime.support_services():
            group.create_task(service.run(stop_support))
        pipeline.group = group
        if running:
            pipeline.start()
        try:
            yield pipeline
        finally:
            pipeline.stop.set()
            if pipeline.moving is not None:
                await pipeline.stopped()
            stop_support.set()
