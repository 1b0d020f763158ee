"""The journal's calls for discovery: plans, and the files that a scan saw."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial

from crosshaul.concurrency.clock import Clock
from crosshaul.journal.sqlite import admission, place_and_plan_ids
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.journal.sqlite.reserve import Reserve
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.journal.sqlite.store_base import StoreBase
from crosshaul.journal.sqlite.write_batch import one_by_one
from crosshaul.journal.sqlite.writer import Writer
from crosshaul.model import ChangedFiles, Denial, Place, PlanId, Recorded, RoutePlan, Settled, Sighting

_BATCH_FILES = 1000
"""Files per unit of work: a large scan must not delay the outcomes of uploads for long."""

_FULL_DISK_MAX_BACKLOG_FILES = 256
"""Undelivered files beyond which nothing is queued while the reserve is spent: receipts need the room that is left."""

_APPLY = one_by_one(place_and_plan_ids.apply)
_MARK_GONE = one_by_one(admission.mark_gone)
_MARK_EXCLUDED = one_by_one(admission.mark_excluded)


class AdmissionStore(StoreBase):
    """The calls about plans and scanned files."""

    def __init__(self, clock: Clock, writer: Writer, reader: Reader, reserve: Reserve) -> None:
        super().__init__(clock, writer, reader)
        self._admit = one_by_one(partial(_admit, reserve))

    async def apply_plans(self, wanted: Sequence[RoutePlan], places: Mapping[str, Place]) -> dict[str, PlanId]:
        """Bring the plans of all configured routes into force; ``places`` are those of the destinations, by name.

        A file that another plan queued is not claimed until it is admitted under the new one.
        """
        self._plans = await self._writer.execute(_APPLY, place_and_plan_ids.Application(wanted, places))
        return self._plans

    async def is_in_force(self, wanted: RoutePlan) -> bool:
        """See ``AdmissionReader.is_in_force``."""
        return await self._read(lambda: self._reader.is_in_force(wanted))

    async def plan(self, wanted: RoutePlan) -> PlanId:
        """See ``AdmissionReader.plan``."""
        return await self._read(lambda: self._reader.plan(wanted))

    async def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int = 0) -> ChangedFiles:
        """See ``AdmissionReader.filter_changed``."""
        return await self._read(lambda: self._reader.filter_changed(route, sightings, plan))

    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """See ``AdmissionReader.recorded``."""
        return await self._read(lambda: self._reader.recorded(route, paths))

    async def leftovers(self, route: str, plan: int, after: int = 0) -> tuple[Sequence[bytes], int | None]:
        """See ``AdmissionReader.leftovers``."""
        return await self._read(lambda: self._reader.leftovers(route, plan, after))

    async def delivered_of_other_plans(
        self, route: str, plan: int, after: int
    ) -> tuple[list[tuple[Sighting, Place, str]], int | None]:
        """See ``AdmissionReader.delivered_of_other_plans``."""
        return await self._read(lambda: self._reader.delivered_of_other_plans(route, plan, after))

    async def admit(self, settled: Sequence[Settled]) -> list[Denial]:
        """Queue settled files; quarantine, and return, those that were refused or whose key another file has.

        A file that is being uploaded stays so and gets a new generation, which makes its claim stale; but if it has
        the same fingerprint, place and key as before, it keeps generation and receipt.
        """
        denied: list[Denial] = []
        for start in range(0, len(settled), _BATCH_FILES):
            batch = settled[start : start + _BATCH_FILES]
            denied += await self._writer.execute(self._admit, admission.Admission(batch, self._clock.now()))
            self._notify_due()
        return denied

    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None:
        """Record that files disappeared: undelivered ones are gone, delivered ones have no source any more."""
        if paths:
            await self._writer.execute(_MARK_GONE, admission.Disappearance(route, paths, self._clock.now()))

    async def mark_excluded(self, route: str, paths: Sequence[bytes]) -> None:
        """Record that the route no longer selects files: undelivered ones are gone, and all keys are free."""
        if paths:
            await self._writer.execute(_MARK_EXCLUDED, admission.Disappearance(route, paths, self._clock.now()))


def _admit(reserve: Reserve, connection: sqlite3.Connection, admitted: admission.Admission) -> list[Denial]:
    if reserve.spent and connection.execute(SQL["backlog"]).fetchone()[0] >= _FULL_DISK_MAX_BACKLOG_FILES:
        reserve.check()
    return admission.admit(connection, admitted)
