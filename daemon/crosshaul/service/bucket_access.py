"""Open a destination's bucket: the refresher of its credentials, the control client and the upload client."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from crosshaul.aws import http1, tls_contexts
from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.control_client import Location, S3ControlClient
from crosshaul.aws.refresher import CredentialObserver, Refresher
from crosshaul.aws.upload_client import S3UploadClient
from crosshaul.concurrency.bandwidth import BandwidthLimiter
from crosshaul.concurrency.clock import Clock, SystemClock
from crosshaul.config import Config, Destination
from crosshaul.errors import ConfigError, Diagnosis, Fault, FaultKind

DEADLINES = http1.Deadlines()


class NullObserver:
    """A CredentialObserver for callers that see the refresher's errors themselves."""

    def renewed(self, destination: str, expires_in: float | None, external_id: str | None) -> None:
        """Do nothing."""

    def refused(self, destination: str, diagnosis: Diagnosis, expires_in: float | None) -> None:
        """Do nothing."""


@asynccontextmanager
async def open_destination(
    config: Config, destination: Destination, base_credentials: BaseCredentials
) -> AsyncIterator[tuple[Refresher, Bucket]]:
    """Open one destination without a runtime for the length of the block, for checks and the demo."""
    http1.install_resolver()
    clock = SystemClock()
    refresher, bucket = open_bucket(
        config, destination, base_credentials, clock, BandwidthLimiter(clock), NullObserver()
    )
    try:
        async with refresher.running():
            yield refresher, bucket
    finally:
        await bucket.close()


def open_bucket(
    config: Config,
    destination: Destination,
    base_credentials: BaseCredentials,
    clock: Clock,
    bandwidth: BandwidthLimiter,
    observer: CredentialObserver,
    deadlines: http1.Deadlines = DEADLINES,
) -> tuple[Refresher, Bucket]:
    """Construct a destination's refresher and bucket. Nothing is connected yet; run the refresher."""
    profile = config.identity.profile
    refresher = Refresher(base_credentials.trusting(destination.tls_ca_bundle), destination, clock, observer)
    control_client = S3ControlClient(destination, refresher, profile)

    trust = tls_contexts.ContextLoader(partial(tls_contexts.for_bucket, destination, profile))

    async def upload_client(location: Location) -> S3UploadClient:
        tls = await _tls_context(trust) if location.scheme == "https" else None
        return _upload_client(config, destination, location, tls, clock, bandwidth, deadlines)

    return refresher, Bucket(destination, refresher, control_client, upload_client, config.source_name)


def _upload_client(
    config: Config,
    destination: Destination,
    location: Location,
    tls: ssl.SSLContext | None,
    clock: Clock,
    bandwidth: BandwidthLimiter,
    deadlines: http1.Deadlines,
) -> S3UploadClient:
    origin = http1.Origin(location.scheme, location.host, location.port)
    client = http1.Client(
        origin,
        tls=tls,
        max_connections=config.transfer.max_concurrency,
        deadlines=deadlines,
        proxy=_proxy_for(origin),
        pace=bandwidth.share(),
    )
    return S3UploadClient(client, location, destination.region, clock, bandwidth.rate)


async def _tls_context(trust: tls_contexts.ContextLoader) -> ssl.SSLContext:
    try:
        return await trust.get()
    except ConfigError as error:
        raise Fault(Diagnosis(FaultKind.DESTINATION, "TLSError", str(error), "Connect")) from error


def _proxy_for(origin: http1.Origin) -> http1.Proxy | None:
    try:
        return http1.proxy_for(origin, os.environ)
    except ConfigError as error:
        raise Fault(Diagnosis(FaultKind.DESTINATION, "ProxyError", str(error), "Connect")) from error
