"""A new configuration under a running daemon: what stays the same goes on, the rest drains and begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crosshaul.config import Config, load
from crosshaul.errors import ConfigError
from crosshaul.service.builder import apply_config
from crosshaul.service.runtime import Runtime
from crosshaul.service.supervisor import Service, Supervisor
from crosshaul.telemetry import logs
from crosshaul.telemetry.sd_notify import Notifier

_FIXED = ("state_dir", "http", "shutdown_timeout")
"""What holds for a daemon's whole life."""


class ConfigReloader:
    """Reloads one daemon's configuration, one reload at a time."""

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
        self._one_at_a_time = asyncio.Lock()
        self.always: Sequence[Service] = ()
        """The helpers that belong to no pipeline."""

    async def at_each(self, hangup: asyncio.Event, stop: asyncio.Event) -> None:
        """Reload at each ``hangup`` (SIGHUP), until ``stop``; what comes of it stands in the log."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                waiting = asyncio.create_task(hangup.wait())
                await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if hangup.is_set():
                    hangup.clear()
                    with suppress(ConfigError):
                        await self.reload()
        finally:
            stopping.cancel()

    async def reload(self) -> str:
        """Read the file again and bring it into force; a sentence on what changed.

        Raises ConfigError, and then all is as it was.
        """
        log = logs.get("crosshaul")
        self._notifier.reloading()
        try:
            told = await self._reload()
        except ConfigError as error:
            log.error("not_reloaded", faults=error.faults, in_force="the old configuration")  # noqa: TRY400 - no bug
            raise
        finally:
            self._notifier.ready()
        log.info("reloaded", changes=told)
        return told

    async def _reload(self) -> str:
        async with self._one_at_a_time:
            config = await asyncio.to_thread(load, self._file)
            logs.conceal(*config.secrets())
            self._refuse_fixed(config)
            runtime, carriers, helpers = (
                self._runtime,
                self._runtime.delivery_services(),
                self._runtime.support_services(),
            )
            pipelines, ways = set(runtime.destinations), set(runtime.routes)
            leaving = await apply_config(runtime, config, config.routes)
            logs.configure(config.log.level, config.log.format)
            # What leaves must end before its successor begins, and needs its credentials to the last.
            await self._support_supervisor.reconcile([*self.always, *_union(helpers, runtime.support_services())])
            await self._delivery_supervisor.reconcile(
                [service for service in carriers if service in runtime.delivery_services()]
            )
            await runtime.hand_over_routes()
            runtime.expect_beats()
            await self._delivery_supervisor.reconcile(runtime.delivery_services())
            await self._support_supervisor.reconcile([*self.always, *runtime.support_services()])
            for each in leaving:
                await each.close()
            runtime.metrics.forget(ways - set(runtime.routes), pipelines - set(runtime.destinations))
            return " ".join(
                [_told(pipelines, ways, runtime, len(leaving)), *(f"{each}." for each in runtime.retargets)]
            )

    def _refuse_fixed(self, config: Config) -> None:
        before = self._runtime.config
        fixed = [name for name in _FIXED if getattr(before, name) != getattr(config, name)]
        if fixed:
            raise ConfigError(
                [f"{self._file}: {name} can't change while the daemon runs; restart it" for name in fixed]
            )


def _union(some: Sequence[Service], others: Sequence[Service]) -> list[Service]:
    return [*some, *(service for service in others if service not in some)]


def _told(pipelines: set[str], ways: set[str], runtime: Runtime, changed: int) -> str:
    """What came, what went, and what begins anew."""
    news = []
    for what, before, after in (
        ("destination", pipelines, set(runtime.destinations)),
        ("route", ways, set(runtime.routes)),
    ):
        news += [f"{what} {name} added" for name in sorted(after - before)]
        news += [f"{what} {name} removed" for name in sorted(before - after)]
    gone = len(pipelines - set(runtime.destinations)) + len(ways - set(runtime.routes))
    if changed - gone:
        news.append(f"{changed - gone} of the destinations and routes begun anew with other settings")
    return f"The configuration is reloaded: {', '.join(news) or 'no destination or route is touched'}."
