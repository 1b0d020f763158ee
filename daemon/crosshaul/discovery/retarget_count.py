"""Count the delivered files that a changed configuration sends again to another place, before it sends them."""

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

_MAX_COUNT_SECONDS = 5.0
"""Time limit for counting all routes: a start must not wait for millions of records."""

Receipted = tuple[Sighting, Place, str]
"""A delivered file, and the place and key that its receipt is for."""


class RetargetJournal(Protocol):
    """The journal as ``retargets_of`` uses it."""

    async def is_in_force(self, wanted: RoutePlan) -> bool: ...  # noqa: D102 - see journal/protocol.py
    async def plan(self, wanted: RoutePlan) -> PlanId: ...  # noqa: D102
    async def delivered_of_other_plans(  # noqa: D102
        self, route: str, plan: int, after: int
    ) -> tuple[list[Receipted], int | None]: ...


@dataclass(frozen=True, slots=True)
class Retarget:
    """Files of one route that are sent again."""

    route: str
    source: str
    """The place where the files are now."""
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
    """Counts the files of one route that its configuration sends to another place."""

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
        """Count those of ``files`` that are sent again."""
        for sighting, place, key in files:
            if self._selection.takes(sighting.path) and self._moves(sighting, place, key):
                self._files += 1
                self._bytes += sighting.fingerprint.size
                self._sources.add(f"s3://{place.bucket}")

    def _moves(self, sighting: Sighting, place: Place, key: str) -> bool:
        # Older releases recorded only the destination's name, which counts as its present place.
        if place not in (self._destination.place, Place("", self._destination.name)):
            return True
        if self._namer.needs_sha256:
            return False  # reading all files would take too long
        settled = self._namer.name(sighting, SettleReason.QUIET, None)
        return settled.refusal is None and settled.key != key

    def has_time(self) -> bool:
        """True if there is time to count more."""
        self.counted_all = time.monotonic() < self._until
        return self.counted_all

    def result(self) -> Iterator[Retarget]:
        """Yield the count, unless it is zero."""
        if self._files:
            target = f"s3://{self._destination.bucket}/{self._destination.key_prefix}"
            sources = " and ".join(sorted(self._sources))
            yield Retarget(self._route.name, sources, target, self._files, self._bytes, self.counted_all)


def retargets(reader: Reader, config: Config, hostname: str) -> list[Retarget]:
    """Count what ``config`` sends again, from the journal (blocking)."""
    counted, until = list[Retarget](), time.monotonic() + _MAX_COUNT_SECONDS
    for route in config.routes:
        destination = config.destinations[route.destination]
        wanted = plan_of(route, destination, hostname)
        if reader.is_in_force(wanted):
            continue
        counter, plan, after = _RetargetCounter(route, destination, hostname, until), reader.plan(wanted).id, 0
        while True:
            files, more = reader.delivered_of_other_plans(route.name, plan, after)
            counter.add(files)
            if more is None or not counter.has_time():
                break
            after = more
        counted += counter.result()
    return counted


async def retargets_of(journal: RetargetJournal, config: Config, hostname: str) -> list[Retarget]:
    """Count the same through the daemon's own journal, without blocking the event loop."""
    counted, until = list[Retarget](), time.monotonic() + _MAX_COUNT_SECONDS
    for route in config.routes:
        destination = config.destinations[route.destination]
        wanted = plan_of(route, destination, hostname)
        if await journal.is_in_force(wanted):
            continue
        counter, plan, after = (
            _RetargetCounter(route, destination, hostname, until),
            (await journal.plan(wanted)).id,
            0,
        )
        while True:
            files, more = await journal.delivered_of_other_plans(route.name, plan, after)
            await asyncio.to_thread(counter.add, files)
            if more is None or not counter.has_time():
                break
            after = more
        counted += counter.result()
    return counted
