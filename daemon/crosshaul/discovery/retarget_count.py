"""Count the delivered files that a changed configuration sends again to another place, before the upload begins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from crosshaul.config import Config, Destination, Route
from crosshaul.discovery.key_namer import KeyNamer
from crosshaul.discovery.route_plan import plan_of
from crosshaul.discovery.selection import Selection
from crosshaul.display import count, size
from crosshaul.journal import Reader
from crosshaul.model import Place, PlanId, RoutePlan, SettleReason, Sighting

_PATIENCE_SECONDS = 5.0
"""Time limit for counting all routes: a start must not wait for millions of records."""

Receipted = tuple[Sighting, Place, str]
"""A delivered file, and the place and key that its receipt is for."""


class RetargetJournal(Protocol):
    """The part of the journal that counting needs."""

    async def is_in_force(self, wanted: RoutePlan) -> bool: ...  # noqa: D102 - see journal/protocol.py
    async def plan(self, wanted: RoutePlan) -> PlanId: ...  # noqa: D102
    async def delivered_of_other_plans(  # noqa: D102
        self, route: str, plan: int, after: int
    ) -> tuple[list[Receipted], int | None]: ...


@dataclass(frozen=True, slots=True)
class Retarget:
    """Files of one route that go again."""

    route: str
    source: str
    """The place where they are now."""
    target: str
    files: int
    bytes: int
    counted_all: bool

    def __str__(self) -> str:
        least = "" if self.counted_all else "at least "
        verb = "goes" if self.files == 1 else "go"
        return (
            f"route {self.route}: {least}{count(self.files, 'file')} ({size(self.bytes)}) delivered to {self.source} "
            f"{verb} again, to {self.target}"
        )


class _RetargetCounter:
    """Counts one route's files that its configuration has go elsewhere."""

    def __init__(self, route: Route, destination: Destination, hostname: str, until: float) -> None:
        self._route = route
        self._destination = destination
        self._namer = KeyNamer(route, hostname, destination.key_prefix)
        self._selection = Selection(route.include, route.exclude, route.settle.marker)
        self._until = until
        self._sources: set[str] = set()
        self._files = self._bytes = 0
        self.counted_all = True

    def add(self, files: Sequence[Receipted]) -> None:
        """Count those of ``files``."""
        for sighting, place, key in files:
            if self._selection.takes(sighting.path) and self._moves(sighting, place, key):
                self._files += 1
                self._bytes += sighting.fingerprint.size
                self._sources.add(f"s3://{place.bucket}")

    def _moves(self, sighting: Sighting, place: Place, key: str) -> bool:
        # An older Crosshaul wrote down the destination's name alone: that is taken for the place it has now.
        if place not in (self._destination.place, Place("", self._destination.name)):
            return True
        if self._namer.needs_sha256:
            return False  # nobody reads all files for a count
        settled = self._namer.name(sighting, SettleReason.QUIET, None)
        return settled.refusal is None and settled.key != key

    def goes_on(self) -> bool:
        """True if there is time to count more."""
        self.counted_all = time.monotonic() < self._until
        return self.counted_all

    def result(self) -> Iterator[Retarget]:
        """The counts, or None if nothing was counted."""
        if self._files:
            target = f"s3://{self._destination.bucket}/{self._destination.key_prefix}"
            sources = " and ".join(sorted(self._sources))
            yield Retarget(self._route.name, sources, target, self._files, self._bytes, self.counted_all)


def retargets(reader: Reader, config: Config, hostname: str) -> list[Retarget]:
    """Count what ``config`` sends again, from the journal (blocking)."""
    found, until = list[Retarget](), time.monotonic() + _PATIENCE_SECONDS
    for route in config.routes:
        destination = config.destinations[route.destination]
        wanted = plan_of(route, destination, hostname)
        if reader.is_in_force(wanted):
            continue
        counting, plan, after = _RetargetCounter(route, destination, hostname, until), reader.plan(wanted).id, 0
        while True:
            files, more = reader.delivered_of_other_plans(route.name, plan, after)
            counting.add(files)
            if more is None or not counting.goes_on():
                break
            after = more
        found += counting.result()
    return found


async def retargets_of(journal: RetargetJournal, config: Config, hostname: str) -> list[Retarget]:
    """The same for a daemon, whose journal is asked for others beside this."""
    found, until = list[Retarget](), time.monotonic() + _PATIENCE_SECONDS
    for route in config.routes:
        destination = config.destinations[route.destination]
        wanted = plan_of(route, destination, hostname)
        if await journal.is_in_force(wanted):
            continue
        counting, plan, after = (
            _RetargetCounter(route, destination, hostname, until),
            (await journal.plan(wanted)).id,
            0,
        )
        while True:
            files, more = await journal.delivered_of_other_plans(route.name, plan, after)
            await asyncio.to_thread(counting.add, files)
            if more is None or not counting.goes_on():
                break
            after = more
        found += counting.result()
    return found
