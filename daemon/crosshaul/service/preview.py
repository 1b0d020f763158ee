"""Preview a push: list what it would send, without sending or recording anything."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import Config, Route
from crosshaul.discovery.intake import Intake
from crosshaul.discovery.route_plan import plan_of
from crosshaul.files.own_paths import OwnPaths
from crosshaul.journal import Reader
from crosshaul.model import (
    NO_PLAN,
    UNFINISHED,
    ChangedFiles,
    Denial,
    PlanId,
    Recorded,
    RoutePlan,
    RouteStatus,
    Settled,
    Sighting,
)
from crosshaul.service.route_choice import chosen_routes
from crosshaul.telemetry import logs
from crosshaul.telemetry.metrics import Metrics


async def preview(config: Config, names: tuple[str, ...]) -> list[Settled]:
    """Return the files that a push of the routes ``names`` (empty = all) would send, with their keys.

    Works beside a running daemon. Raises ConfigError for an unknown route, StateDirError, SourceError.
    """
    routes = chosen_routes(config, names)
    journal = await asyncio.to_thread(_ReadOnlyJournal, config.state_dir)
    try:
        return [settled for route in routes for settled in await _preview_route(config, route, journal)]
    finally:
        journal.close()


async def _preview_route(config: Config, route: Route, journal: _ReadOnlyJournal) -> list[Settled]:
    """Return new and changed files, and those that are pending under the plan that the configuration makes."""
    destination = config.destinations[route.destination]
    plan = await asyncio.to_thread(journal.plan, plan_of(route, destination, socket.gethostname()))
    log, host, prefix = logs.get("intake").bind(route=route.name), socket.gethostname(), destination.key_prefix
    own = partial(OwnPaths.read, config)
    intake = Intake(route, journal, SystemClock(), Metrics(), log, host, prefix, plan, own=own)
    seen = await intake.preview()
    pending = await asyncio.to_thread(journal.pending, route.name, plan)
    by_path = {settled.sighting.path: settled for settled in pending}
    by_path |= {
        settled.sighting.path: settled for settled in await asyncio.to_thread(journal.to_send, route.name, seen)
    }
    return list(by_path.values())


class _ReadOnlyJournal:
    """The journal as a preview sees it: read-only, and empty where there is none yet."""

    def __init__(self, state_dir: Path) -> None:
        self._reader = Reader.open(state_dir) if (state_dir / "journal.db").exists() else None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def plan(self, wanted: RoutePlan) -> PlanId:
        """See ``Reader.plan``."""
        return NO_PLAN if self._reader is None else self._reader.plan(wanted)

    def pending(self, route: str, plan: PlanId) -> list[Settled]:
        """Return the files that earlier runs recorded under ``plan`` and did not deliver."""
        if self._reader is None:
            return []
        return [
            Settled(Sighting(route, record.path, record.fingerprint), record.destination, record.key, plan=plan)
            for state in UNFINISHED
            for record in self._reader.records(state, route, None)
            if record.plan == plan.id
        ]

    def to_send(self, route: str, seen: Sequence[Settled]) -> list[Settled]:
        """Return those of ``seen`` that are not delivered under their key yet."""
        return list(seen) if self._reader is None else self._reader.to_send(route, seen)

    async def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int) -> ChangedFiles:
        """See ``Journal.filter_changed``."""
        if self._reader is None:
            return ChangedFiles(list(sightings), [])
        return await asyncio.to_thread(self._reader.filter_changed, route, sightings, plan)

    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """See ``Journal.recorded``."""
        return {} if self._reader is None else await asyncio.to_thread(self._reader.recorded, route, paths)

    async def admit(self, settled: Sequence[Settled]) -> Sequence[Denial]:
        raise AssertionError(f"a preview must not queue files; got {len(settled)}")

    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None:
        raise AssertionError(f"a preview must not mark files gone; got {len(paths)} of {route}")

    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None:
        raise AssertionError(f"a preview must not exclude files; got {len(paths)} of {route}")

    async def leftovers(self, route: str, plan: int, after: int) -> tuple[Sequence[bytes], int | None]:
        raise AssertionError(f"a preview must not judge leftovers; asked for {route} ({plan}, {after})")

    async def save_route(self, status: RouteStatus) -> None:
        raise AssertionError(f"a preview must not save a status; got {status.name}")
