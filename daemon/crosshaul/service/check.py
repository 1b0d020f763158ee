"""Check destinations with the same clients that the daemon uses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.proxy_and_ca_check import check_environment
from crosshaul.config import Config, Destination
from crosshaul.service.bucket_access import open_destination
from crosshaul.trust import saved_capabilities
from crosshaul.trust.chain import check_chain
from crosshaul.trust.findings import Finding
from crosshaul.trust.machine import check_machine
from crosshaul.trust.steps.context import CheckContext


async def check(
    config: Config, names: Sequence[str], *, test_confused_deputy: bool
) -> AsyncIterator[tuple[str, Finding]]:
    """Check the destinations ``names`` (empty = all) and yield each finding with the name of its destination."""
    for name in names or config.destinations:
        async for finding in _check(config, config.destinations[name], test_confused_deputy=test_confused_deputy):
            yield name, finding


async def _check(config: Config, destination: Destination, *, test_confused_deputy: bool) -> AsyncIterator[Finding]:
    await asyncio.to_thread(check_environment, config, os.environ)
    base_credentials = BaseCredentials(config.identity).trusting(destination.tls_ca_bundle)
    findings: list[Finding] = []

    @asynccontextmanager
    async def open_unrestricted() -> AsyncIterator[Bucket]:
        unrestricted = destination.model_copy(update={"session_policy": "none"})
        async with open_destination(config, unrestricted, base_credentials) as (_, bucket):
            yield bucket

    async with open_destination(config, destination, base_credentials) as (refresher, bucket):
        context = CheckContext(
            destination,
            base_credentials,
            refresher,
            bucket,
            open_unrestricted,
            test_confused_deputy=test_confused_deputy,
        )
        async for finding in check_chain(context):
            findings.append(finding)
            yield finding
    await asyncio.to_thread(saved_capabilities.save, config.state_dir, destination, findings)
    routes = [route for route in config.routes if route.destination == destination.name]
    for finding in await asyncio.to_thread(check_machine, config.state_dir, routes):
        yield finding
