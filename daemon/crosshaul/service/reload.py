"""A new configuration under a running daemon: what stays the same goes on, the rest drains and begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crosshaul.config import Config, load
from crosshaul.errors import ConfigError
from crosshaul.service.builder import furnish
from crosshaul.service.runtime import Runtime
from crosshaul.service.supervisor import Service, Supervisor
from crosshaul.telemetry import logs
from crosshaul.telemetry.sd_notify import Notifier

_FIXED = ("state_dir", "http", "shutdown_timeout")
"""What holds for a daemon's whole life."""


class ConfigReloader:
    """Reloads one daemon's configuration, one reload at a time."""

    def __init__(
        self, house: Runtime, file: Path, carrying: Supervisor, helping: Supervisor, notifier: Notifier
    ) -> None:
        self._house = house
        self._file = file.absolute()
        self._carrying = carrying
        self._helping = helping
        self._notifier = notifier
        self._one_at_a_time = asyncio.Lock()
        self.always: Sequence[Service] = ()
        """The helpers that belong to no lane."""

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
            house, carriers, helpers = self._house, self._house.carriers(), self._house.helpers()
            lanes, ways = set(house.lanes), set(house.ways)
            leaving = await furnish(house, config, config.routes)
            logs.configure(config.log.level, config.log.format)
            # What leaves must end before its successor begins, and needs its credentials to the last.
            await self._helping.becomes([*self.always, *_union(helpers, house.helpers())])
            await self._carrying.becomes([service for service in carriers if service in house.carriers()])
            await house.take_over()
            house.expect_pulse()
            await self._carrying.becomes(house.carriers())
            await self._helping.becomes([*self.always, *house.helpers()])
            for each in leaving:
                await each.close()
            house.metrics.forget(ways - set(house.ways), lanes - set(house.lanes))
            return " ".join([_told(lanes, ways, house, len(leaving)), *(f"{each}." for each in house.retargets)])

    def _refuse_fixed(self, config: Config) -> None:
        before = self._house.config
        fixed = [name for name in _FIXED if getattr(before, name) != getattr(config, name)]
        if fixed:
            raise ConfigError(
                [f"{self._file}: {name} can't change while the daemon runs; restart it" for name in fixed]
            )


def _union(some: Sequence[Service], others: Sequence[Service]) -> list[Service]:
    return [*some, *(service for service in others if service not in some)]


def _told(lanes: set[str], ways: set[str], house: Runtime, changed: int) -> str:
    """What came, what went, and what begins anew."""
    news = []
    for what, before, after in (("destination", lanes, set(house.lanes)), ("route", ways, set(house.ways))):
        news += [f"{what} {name} added" for name in sorted(after - before)]
        news += [f"{what} {name} removed" for name in sorted(before - after)]
    gone = len(lanes - set(house.lanes)) + len(ways - set(house.ways))
    if changed - gone:
        news.append(f"{changed - gone} of the destinations and routes begun anew with other settings")
    return f"The configuration is reloaded: {', '.join(news) or 'no destination or route is touched'}."
