"""The places and plans of the configuration in force, by the numbers that records have for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.queries import SQL
from crosshaul.model import Place, PlanId, RoutePlan, Sighting

_WINDOW = 20_000
"""Records looked at in one query: some 10 ms."""
NOWHERE = -1
"""Stands for a place or plan that no record has."""


class Application(NamedTuple):
    """One call of ``Journal.apply_plans``."""

    plans: Sequence[RoutePlan]
    places: Mapping[str, Place]
    """By destination."""


def apply(connection: sqlite3.Connection, application: Application) -> dict[str, PlanId]:
    """Bring these plans into force, and no others; the numbers they have."""
    for destination, place in application.places.items():
        _adopt(connection, destination, place)
    found = {each.route: _numbered(connection, each) for each in application.plans}
    connection.execute(SQL["bring_into_force"], (rows.ids_text(plan.id for plan in found.values()),))
    return found


def find(connection: sqlite3.Connection, wanted: RoutePlan) -> PlanId:
    """The plan as it is numbered, for those who may not write; NOWHERE where it never was in force."""
    plan = connection.execute(SQL["plan_of"], (wanted.route, wanted.digest)).fetchone()
    place = connection.execute(SQL["place_of"], wanted.place).fetchone()
    return PlanId(plan[0] if plan else NOWHERE, place[0] if place else NOWHERE, wanted.by_content)


def _numbered(connection: sqlite3.Connection, wanted: RoutePlan) -> PlanId:
    connection.execute(SQL["add_place"], wanted.place)
    place: int = connection.execute(SQL["place_of"], wanted.place).fetchone()[0]
    connection.execute(SQL["add_plan"], (wanted.route, wanted.digest, place, wanted.root, wanted.by_content))
    plan: int = connection.execute(SQL["plan_of"], (wanted.route, wanted.digest)).fetchone()[0]
    return PlanId(plan, place, wanted.by_content)


def _adopt(connection: sqlite3.Connection, destination: str, place: Place) -> None:
    """Say where the records of an older Crosshaul are, which know their destination's name alone."""
    unknown = connection.execute(SQL["place_of"], ("", destination)).fetchone()
    if unknown is None:
        return
    known = connection.execute(SQL["place_of"], place).fetchone()
    if known is None:
        connection.execute(SQL["name_place"], (*place, unknown[0]))
        return
    # Two destinations are one place: of two files with one key, one has it.
    connection.execute(SQL["let_go_of_doubles"], (unknown[0], known[0]))
    connection.execute(SQL["move_to_place"], (known[0], unknown[0]))
    connection.execute(SQL["drop_place"], unknown)


def leftovers(connection: sqlite3.Connection, route: str, plan: int, after: int) -> tuple[list[bytes], int | None]:
    """Files not sent yet that were judged by another plan, in a part of all records; and where the next begins."""
    if not after and not connection.execute(SQL["has_leftovers"], (route, plan)).fetchone()[0]:
        return [], None
    last = connection.execute(SQL["last_record"]).fetchone()[0]
    end = after + _WINDOW
    found = connection.execute(SQL["leftovers"], (after, end, route, plan)).fetchall()
    return [row[0] for row in found], end if end < last else None


def delivered_of_other_plans(
    connection: sqlite3.Connection, route: str, plan: int, after: int
) -> tuple[list[tuple[Sighting, Place, str]], int | None]:
    """Delivered files that were judged by another plan, in a part of all records; and where the next begins."""
    last = connection.execute(SQL["last_record"]).fetchone()[0]
    end = after + _WINDOW
    found = [
        (Sighting(route, path, rows.fingerprint(text)), Place(endpoint, bucket), key)
        for path, text, endpoint, bucket, key in connection.execute(
            SQL["delivered_of_other_plans"], (after, end, route, plan)
        )
    ]
    return found, end if end < last else None
