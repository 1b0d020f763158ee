"""Open the runtime of a daemon or a push, and put a configuration in force in it."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from crosshaul.aws import http1
from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.proxy_and_ca_check import check_environment
from crosshaul.concurrency.bandwidth import BandwidthLimiter
from crosshaul.concurrency.clock import Clock
from crosshaul.config import Config, Route, overlaps
from crosshaul.discovery.retarget_count import Retarget, retargets_of
from crosshaul.discovery.route_plan import places_of, plans_of
from crosshaul.errors import StateDirError
from crosshaul.journal import Journal
from crosshaul.service.pipeline_builder import PipelineBuilder
from crosshaul.service.pipelines import DestinationPipeline, Pipeline
from crosshaul.service.runtime import Runtime
from crosshaul.telemetry import logs
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.metrics import Metrics
from crosshaul.trust import saved_capabilities
from crosshaul.trust.saved_capabilities import Capabilities

_THREADS = 16
"""Threads that read files and compute checksums: awscrt and the kernel release the interpreter's lock meanwhile."""


@asynccontextmanager
async def open_runtime(config: Config, routes: Sequence[Route], clock: Clock) -> AsyncIterator[Runtime]:
    """Open the journal and build the pipelines of ``routes``; close everything at the end of the block.

    Raises LockedError, StateDirError, ConfigError.
    """
    http1.install_resolver()
    gc.freeze()  # imported objects live for ever: keep them out of each collection
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


async def apply_config(runtime: Runtime, config: Config, routes: Sequence[Route]) -> list[Pipeline]:
    """Build the pipelines of ``config``, keep those that it does not change, and put all in force.

    Return the replaced pipelines, still open. Raises ConfigError, and then nothing has changed; StateDirError.
    """
    await _check_environment(config)
    builder, journal = PipelineBuilder(runtime, config), runtime.journal
    destinations = await _build_destinations(builder, runtime, config, routes)
    runtime.retargets = await retargets_of(journal, config, socket.gethostname())
    _log_retargets(runtime.retargets)
    plans = await journal.apply_plans(plans_of(config, socket.gethostname()), places_of(config))
    route_pipelines = {route.name: builder.route(route, plans[route.name]) for route in routes}
    runtime.metrics.expect([route.name for route in routes], set(destinations))
    runtime.base_credentials = builder.base_credentials
    replaced = runtime.replace_pipelines(config, destinations, route_pipelines, plans)
    for pipeline in destinations.values():
        # The configuration is in force: this must not fail. The reporter saves later what can't be saved now.
        with suppress(StateDirError):
            await pipeline.reporter.flush()
    return replaced


async def _build_destinations(
    builder: PipelineBuilder, runtime: Runtime, config: Config, routes: Sequence[Route]
) -> dict[str, DestinationPipeline]:
    statuses = {status.name: status for status in await runtime.journal.destinations()}
    known_capabilities = await asyncio.to_thread(_load_capabilities, config)
    names = dict.fromkeys(route.destination for route in routes)
    return {name: builder.destination(name, statuses.get(name), known_capabilities[name]) for name in names}


async def _check_environment(config: Config) -> None:
    """Log what environment variables change. Raises ConfigError for what they make impossible."""
    await asyncio.to_thread(check_environment, config, os.environ)
    for line in config.environment_notes:
        logs.get("crosshaul").warning("endpoint_from_environment", endpoint=line)
    for line in await asyncio.to_thread(overlaps, config):
        logs.get("crosshaul").warning("keys_may_collide", hint=line)


def _log_retargets(retargets: Sequence[Retarget]) -> None:
    """Log what will be sent again, before it is queued."""
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


def _load_capabilities(config: Config) -> dict[str, Capabilities]:
    destinations = config.destinations.items()
    return {name: saved_capabilities.load(config.state_dir, destination) for name, destination in destinations}
