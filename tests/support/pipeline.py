"""One destination's loop on real parts: files, the journal, and the strict partner account in this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crosshaul.aws import http1
from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.conditional_writes import Conditions
from crosshaul.aws.control_client import Location, S3ControlClient
from crosshaul.aws.refresher import Refresher
from crosshaul.aws.upload_client import S3UploadClient
from crosshaul.concurrency.adaptive_limit import AdaptiveLimit
from crosshaul.concurrency.bandwidth import BandwidthLimiter
from crosshaul.concurrency.clock import SystemClock
from crosshaul.concurrency.request_slots import RequestSlots
from crosshaul.concurrency.semaphore import ByteSemaphore
from crosshaul.concurrency.token_bucket import RateStep
from crosshaul.config import AfterUploadConfig, Destination, IdentityConfig, Route, TransferConfig
from crosshaul.delivery.retry import RetryPolicy
from crosshaul.delivery.transfer_loop import Transfer
from crosshaul.delivery.upload_context import UploadContext
from crosshaul.errors import Diagnosis
from crosshaul.files.buffer_pool import BufferPool
from crosshaul.files.reader import FileReader
from crosshaul.integrity.negotiation import ChecksumNegotiator
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

MIB = 1 << 20
QUICK = http1.Deadlines(connect=1.0, tls=1.0, progress=0.6, response=0.6)


class RecordingObserver:
    """Writes down what the loop tells."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[bytes, Outcome]] = []
        self.parkings: list[Diagnosis] = []
        self.refusals: list[Diagnosis] = []
        self.surprises: list[Exception] = []
        self.overwritten: list[tuple[str, str]] = []
        self.ignored = 0
        self.lost: list[bytes] = []
        self.restless: list[int] = []
        self.outages: list[Diagnosis] = []
        self.hanging: list[bytes] = []
        self.resumptions = self.recoveries = 0
        self.sent = 0
        self.most_in_flight = 0

    def on_started(self, claim: Claim) -> None:
        self.sent += 1

    def on_finished(self, claim: Claim, outcome: Outcome, state: State, seconds: float) -> None:
        self.outcomes.append((claim.path, outcome))

    def on_unexpected_error(self, claim: Claim, error: Exception) -> None:
        self.surprises.append(error)

    def on_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        self.parkings.append(diagnosis)

    def on_still_parked(self, diagnosis: Diagnosis, retry_in: float) -> None:
        self.refusals.append(diagnosis)

    def on_resumed(self) -> None:
        self.resumptions += 1

    def on_unreachable(self, diagnosis: Diagnosis, retry_in: float) -> None:
        self.outages.append(diagnosis)

    def on_reachable(self) -> None:
        self.recoveries += 1

    def on_read_hang(self, route: str, path: bytes, seconds: float) -> None:
        self.hanging.append(path)

    def on_claims_lost(self, claims: Sequence[HeldClaim]) -> None:
        self.lost += [claim.path for claim in claims]

    def on_read_recovered(self, route: str, seconds: float) -> None: ...

    def on_load(self, in_flight: int, limit: int) -> None:
        self.most_in_flight = max(self.most_in_flight, in_flight)

    def on_checksum_negotiated(self, checksum: ChecksumKind | None) -> None: ...

    def on_foreign_overwrite(self, claim: Claim, bucket: str, source: str) -> None:
        self.overwritten.append((claim.key, source))

    def on_conditions_ignored(self, bucket: str) -> None:
        self.ignored += 1

    def on_never_settled(self, claim: Claim, attempts: int) -> None:
        self.restless.append(attempts)

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None: ...

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None: ...


@dataclass
class Pipeline:
    """What a test works with."""

    root: Path
    account: PartnerAccount
    journal: Journal
    bucket: Bucket
    context: UploadContext
    transfer: Transfer
    observer: RecordingObserver
    route: Route
    limit: AdaptiveLimit
    limiter: BandwidthLimiter
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    moving: asyncio.Task[None] | None = None
    group: asyncio.TaskGroup | None = None

    async def drop(self, name: str, data: bytes) -> None:
        """Write a file and give it to the journal as settled."""
        path = self.root / name
        path.write_bytes(data)
        await self.admit(name)

    async def admit(self, name: str, reason: SettleReason = SettleReason.QUIET) -> None:
        await self.admit_all([name], reason)

    async def admit_all(self, names: Sequence[str], reason: SettleReason = SettleReason.QUIET) -> None:
        """Give files that are there to the journal, all at once."""
        seen = [Sighting("r", os.fsencode(name), Fingerprint.of((self.root / name).stat())) for name in names]
        pairs = zip(seen, names, strict=True)
        await self.journal.admit([Settled(each, "partner", name, reason=reason) for each, name in pairs])

    def start(self) -> None:
        """Let the loop run."""
        assert self.group is not None
        self.moving = self.group.create_task(self.transfer.run(self.stop))

    async def stopped(self) -> None:
        """Wait until the loop has ended."""
        assert self.moving is not None
        await asyncio.wait({self.moving}, timeout=20)

    async def record(self, name: str) -> Record:
        found = await self.journal.find("r", os.fsencode(name))
        assert found is not None
        return found

    async def comes_to(self, name: str, *states: State, timeout: float = 15.0) -> Record:
        """Wait until the file is in one of the states."""
        async with asyncio.timeout(timeout):
            while (record := await self.record(name)).state not in states:
                await asyncio.sleep(0.02)
        return record

    def calls(self, operation: str) -> list[Any]:
        return [call for call in self.account.calls if call.operation == operation]


@asynccontextmanager
async def open_pipeline(
    account: PartnerAccount,
    home: Path,
    *,
    policy: RetryPolicy | None = None,
    overwrite: str = "always",
    after: AfterUploadConfig | None = None,
    known: ChecksumKind | None = None,
    running: bool = True,
    memory: int = 64 * MIB,
    max_concurrency: int = 8,
    multipart_threshold: int = 6 * MIB,
    deadlines: http1.Deadlines = QUICK,
    tls_ca_bundle: Path | None = None,
    source: str = "here",
    honoured: bool | None = None,
    key: str = "{path}",
    bytes_per_second: int | None = None,
    wrap_observer: Callable[[RecordingObserver], Any] = lambda observer: observer,
    **destination: Any,
) -> AsyncIterator[Pipeline]:
    """Everything of one destination, opened; with ``running`` its loop runs."""
    root = home / "root"
    root.mkdir(exist_ok=True)
    clock, recorder = SystemClock(), RecordingObserver()
    observer = wrap_observer(recorder)
    given = {
        "name": "partner", "bucket": account.bucket, "endpoint_url": account.endpoint_url,
        "role_arn": account.role_arn, "external_id": account.external_id, "tls_ca_bundle": tls_ca_bundle,
    }  # fmt: skip
    partner = Destination(**(given | destination))
    limiter = BandwidthLimiter(clock)
    limiter.schedule((RateStep(None, bytes_per_second),) if bytes_per_second else ())
    identity = IdentityConfig(sts_endpoint_url=account.sts_endpoint_url)
    refresher = Refresher(BaseCredentials(identity), partner, clock, observer)

    async def wire(location: Location) -> S3UploadClient:
        origin = http1.Origin(location.scheme, location.host, location.port)
        tls = http1.tls_context(tls_ca_bundle) if location.scheme == "https" else None
        pace = limiter.share()
        client = http1.Client(origin, tls=tls, max_connections=64, deadlines=deadlines, proxy=None, pace=pace)
        return S3UploadClient(client, location, partner.region, clock, limiter.rate)

    bucket = Bucket(partner, refresher, S3ControlClient(partner, refresher), wire, source)
    journal = await Journal.open(home / "state", clock)
    sizes = TransferConfig(part_size=5 * MIB, max_concurrency=max_concurrency)
    # May be less than the configuration takes: an only part may be small.
    sizes = sizes.model_copy(update={"multipart_threshold": multipart_threshold})
    limit = AdaptiveLimit(max_concurrency)
    after = after or AfterUploadConfig()
    route = Route(name="r", path=root, destination="partner", overwrite=overwrite, after_upload=after, key=key)
    context = UploadContext(
        partner,
        bucket,
        journal,
        {"r": route},
        sizes,
        ByteSemaphore(lambda: memory),
        BufferPool(),
        ByteSemaphore(lambda: memory),
        RequestSlots(lambda: limit.limit, max_concurrency),
        ChecksumNegotiator(known),
        clock,
        FileReader(),
        conditions=Conditions(honoured=honoured),
        observer=observer,
    )
    transfer = Transfer(context, journal, limit, policy or RetryPolicy(0.05, 0.4), observer, refresher.suspect)
    journal.on_due(transfer.wake)
    pipeline = Pipeline(root, account, journal, bucket, context, transfer, recorder, route, limit, limiter)
    stop_refreshing = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(refresher.run(stop_refreshing))
            pipeline.group = group
            if running:
                pipeline.start()
            try:
                yield pipeline
            finally:
                pipeline.stop.set()
                if pipeline.moving is not None:
                    await pipeline.stopped()
                stop_refreshing.set()
    finally:
        await bucket.close()
        await journal.close()
