"""Reads the records and plans that discovery compares its scans with."""

from __future__ import annotations

from collections.abc import Sequence

from crosshaul.journal.sqlite import lookup, place_and_plan_ids
from crosshaul.journal.sqlite.reader_base import ReaderBase
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import ChangedFiles, Place, PlanId, Recorded, RoutePlan, Settled, Sighting


class AdmissionReader(ReaderBase):
    """The queries of discovery."""

    def plan(self, wanted: RoutePlan) -> PlanId:
        """Return the journal's number of a plan and its place; a number that no record has if it is unknown."""
        with self._snapshot() as connection:
            return place_and_plan_ids.find(connection, wanted)

    def is_in_force(self, wanted: RoutePlan) -> bool:
        """Return True if the route's last applied plan is this one."""
        with self._snapshot() as connection:
            return bool(connection.execute(SQL["is_in_force"], (wanted.route, wanted.digest)).fetchone()[0])

    def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int = 0) -> ChangedFiles:
        """Return the sightings that are not recorded with this fingerprint under this plan."""
        with self._snapshot() as connection:
            return lookup.filter_changed(connection, route, sightings, plan)

    def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
        """Return the last recorded fingerprint of those of ``paths`` that have a record."""
        with self._snapshot() as connection:
            return lookup.recorded(connection, route, paths)

    def leftovers(self, route: str, plan: int, after: int) -> tuple[Sequence[bytes], int | None]:
        """Return some undelivered files of ``route`` that another plan queued, and the position of the next call.

        Begin with 0; None: there are no more.
        """
        with self._snapshot() as connection:
            return place_and_plan_ids.leftovers(connection, route, plan, after)

    def delivered_of_other_plans(
        self, route: str, plan: int, after: int
    ) -> tuple[list[tuple[Sighting, Place, str]], int | None]:
        """Return some delivered files of ``route`` that another plan queued, and the position of the next call.

        Each comes with the place and key of its receipt; files whose source is known to be gone are left out. Begin
        with 0; None: there are no more.
        """
        with self._snapshot() as connection:
            return place_and_plan_ids.delivered_of_other_plans(connection, route, plan, after)

    def to_send(self, route: str, seen: Sequence[Settled]) -> list[Settled]:
        """Return those of ``seen``, all of ``route``, that are neither delivered nor quarantined where they go."""
        with self._snapshot() as connection:
            return lookup.to_send(connection, route, seen)
