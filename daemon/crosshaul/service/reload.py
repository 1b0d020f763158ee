"""Reload the configuration of a running daemon: unchanged pipelines continue, the others drain and are replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crosshaul.concurrency.waiting import wait_first
from crosshaul.config import Config, load
from crosshaul.errors import ConfigError
from crosshaul.service.builder import apply_config
from crosshaul.service.runtime import Runtime
from crosshaul.service.supervisor import Service, Supervisor
from crosshaul.telemetry import logs
from crosshaul.telemetry.sd_notify import Notifier

_FIXED_KEYS = ("state_dir", "http", "shutdown_timeout")
"""Keys that can't change without a restart."""


class ConfigReloader:
    """Reloads a daemon's configuration, one reload at a time."""

    def __init__(
        self,
        runtime: Runtime,
        file: Path,
        delivery_supervisor: Supervisor,
        support_supervisor: Supervisor,
        notifier: Notifier,
    ) -> None:
        self._runtime = runtime
        self._file = file.absolute()
        self._delivery_supervisor = delivery_supervisor
        self._support_supervisor = support_supervisor
        self._notifier = notifier
        self._lock = asyncio.Lock()
        self.fixed_services: Sequence[Service] = ()
        """Support services that belong to no pipeline."""

    async def run(self, hangup: asyncio.Event, stop: asyncio.Event) -> None:
        """Reload whenever ``hangup`` (SIGHUP) is set, until ``stop``. The result is logged."""
        while not stop.is_set():
            await wait_first([], hangup, stop)
            if hangup.is_set():
                hangup.clear()
                with suppress(ConfigError):
                    await self.reload()

    async def reload(self) -> str:
        """Read the file and put it in force; return a sentence about the changes.

        Raises ConfigError, and then the old configuration stays in force.
        """
        log = logs.get("crosshaul")
        self._notifier.reloading()
        try:
            changes = await self._reload()
        except ConfigError as error:
            log.error("not_reloaded", faults=error.faults, in_force="the old configuration")  # noqa: TRY400 - no bug
            raise
        finally:
            self._notifier.ready()
        log.info("reloaded", changes=changes)
        return changes

    async def _reload(self) -> str:
        async with self._lock:
            config = await asyncio.to_thread(load, self._file)
            logs.conceal(*config.secrets())
            self._refuse_fixed_keys(config)
            runtime = self._runtime
            destinations, routes = set(runtime.destinations), set(runtime.routes)
            delivery, support = runtime.delivery_services(), runtime.support_services()
            replaced = await apply_config(runtime, config, config.routes)
            logs.configure(config.log.level, config.log.format)
            await self._replace_services(delivery, support)
            for pipeline in replaced:
                await pipeline.close()
            runtime.metrics.forget(routes - set(runtime.routes), destinations - set(runtime.destinations))
            changes = _changes(destinations, routes, runtime, len(replaced))
            return " ".join([changes, *(f"{retarget}." for retarget in runtime.retargets)])

    async def _replace_services(self, delivery: Sequence[Service], support: Sequence[Service]) -> None:
        """Drain the services of replaced pipelines, then start those of the new ones.

        A replaced pipeline must drain before its successor claims files, and needs its credentials until then.
        """
        runtime, fixed = self._runtime, self.fixed_services
        await self._support_supervisor.reconcile([*fixed, *_union(support, runtime.support_services())])
        await self._delivery_supervisor.reconcile(
            [service for service in delivery if service in runtime.delivery_services()]
        )
        await runtime.hand_over_routes()
        runtime.expect_beats()
        await self._delivery_supervisor.reconcile(runtime.delivery_services())
        await self._support_supervisor.reconcile([*fixed, *runtime.support_services()])

    def _refuse_fixed_keys(self, config: Config) -> None:
        before = self._runtime.config
        changed = [key for key in _FIXED_KEYS if getattr(before, key) != getattr(config, key)]
        if changed:
            raise ConfigError(
                [f"{self._file}: {key} can't change while the daemon runs; restart the daemon" for key in changed]
            )


def _union(some: Sequence[Service], others: Sequence[Service]) -> list[Service]:
    return [*some, *(service for service in others if service not in some)]


def _changes(destinations: set[str], routes: set[str], runtime: Runtime, replaced: int) -> str:
    """Return a sentence about what was added, removed and restarted."""
    changes = []
    kinds = (("destination", destinations, set(runtime.destinations)), ("route", routes, set(runtime.routes)))
    for kind, before, after in kinds:
        changes += [f"{kind} {name} added" for name in sorted(after - before)]
        changes += [f"{kind} {name} removed" for name in sorted(before - after)]
    removed = sum(len(before - after) for _, before, after in kinds)
    if replaced - removed:
        changes.append(f"{replaced - removed} of the destinations and routes restarted with new settings")
    return f"The configuration is reloaded: {', '.join(changes) or 'no destination or route has changed'}."
