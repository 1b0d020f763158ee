"""A check of each destination: opens what the daemon would open, walks the steps, and closes it again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.environment import check_surroundings
from crosshaul.config import Config, Destination
from crosshaul.service.builder import open_destination
from crosshaul.trust.capabilities import learn
from crosshaul.trust.findings import Finding
from crosshaul.trust.machine import look
from crosshaul.trust.steps import CheckContext, walk


async def check(config: Config, names: Sequence[str], *, deputy: bool) -> AsyncIterator[tuple[str, Finding]]:
    """Destination and finding, one after the other; ``names`` none = all. ``deputy``: try the confused deputy's."""
    for name in names or config.destinations:
        async for finding in _check(config, config.destinations[name], deputy=deputy):
            yield name, finding


async def _check(config: Config, destination: Destination, *, deputy: bool) -> AsyncIterator[Finding]:
    await asyncio.to_thread(check_surroundings, config, os.environ)
    chain, found = BaseCredentials(config.identity).trusting(destination.tls_ca_bundle), list[Finding]()
    unnarrowed = destination.model_copy(update={"session_policy": "none"})

    @asynccontextmanager
    async def widely() -> AsyncIterator[Bucket]:
        async with open_destination(config, unnarrowed, chain) as (_, bucket):
            yield bucket

    async with open_destination(config, destination, chain) as (refresher, bucket):
        async for finding in walk(CheckContext(destination, chain, refresher, bucket, widely, deputy=deputy)):
            found.append(finding)
            yield finding
    await asyncio.to_thread(learn, config.state_dir, destination, found)
    routes = [route for route in config.routes if route.destination == destination.name]
    for finding in await asyncio.to_thread(look, config.state_dir, routes):
        yield finding
