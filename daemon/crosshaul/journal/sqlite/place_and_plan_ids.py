"""Numbers the places and plans of the configuration, as records refer to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from crosshaul.journal.sqlite import rows
from crosshaul.journal.sqlite.sql_files import SQL
from crosshaul.model import Place, PlanId, RoutePlan, Sighting

_WINDOW_ROWS = 20_000
"""Records that one query reads: about 10 ms."""
UNKNOWN = -1
"""Number of a place or plan that no record has."""


class Application(NamedTuple):
    """One call of ``Journal.apply_plans``."""

    plans: Sequence[RoutePlan]
    places: Mapping[str, Place]
    """By destination."""


def apply(connection: sqlite3.Connection, application: Application) -> dict[str, PlanId]:
    """Bring these plans, and no others, into force; return their numbers by route."""
    for destination, place in application.places.items():
        _adopt(connection, destination, place)
    numbers = {plan.route: _numbered(connection, plan) for plan in application.plans}
    connection.execute(SQL["bring_into_force"], (rows.ids_text(plan.id for plan in numbers.values()),))
    return numbers


def find(connection: sqlite3.Connection, wanted: RoutePlan) -> PlanId:
    """Return the plan's number, without writing; UNKNOWN if it never was in force."""
    plan = connection.execute(SQL["plan_of"], (wanted.route, wanted.digest)).fetchone()
    place = connection.execute(SQL["place_of"], wanted.place).fetchone()
    return PlanId(plan[0] if plan else UNKNOWN, place[0] if place else UNKNOWN, wanted.by_content)


def _numbered(connection: sqlite3.Connection, wanted: RoutePlan) -> PlanId:
    connection.execute(SQL["add_place"], wanted.place)
    place: int = connection.execute(SQL["place_of"], wanted.place).fetchone()[0]
    connection.execute(SQL["add_plan"], (wanted.route, wanted.digest, place, wanted.root, wanted.by_content))
    plan: int = connection.execute(SQL["plan_of"], (wanted.route, wanted.digest)).fetchone()[0]
    return PlanId(plan, place, wanted.by_content)


def _adopt(connection: sqlite3.Connection, destination: str, place: Place) -> None:
    """Set the place of records that an older version wrote with their destination's name alone."""
    unknown = connection.execute(SQL["place_of"], ("", destination)).fetchone()
    if unknown is None:
        return
    known = connection.execute(SQL["place_of"], place).fetchone()
    if known is None:
        connection.execute(SQL["name_place"], (*place, unknown[0]))
        return
    # Two destinations are one place: of two files with the same key, one keeps it.
    connection.execute(SQL["release_duplicate_keys"], (unknown[0], known[0]))
    connection.execute(SQL["move_to_place"], (known[0], unknown[0]))
    connection.execute(SQL["drop_place"], unknown)


def leftovers(connection: sqlite3.Connection, route: str, plan: int, after: int) -> tuple[list[bytes], int | None]:
    """Return the undelivered files of other plans in one window of the records, and the start of the next window."""
    if not after and not connection.execute(SQL["has_leftovers"], (route, plan)).fetchone()[0]:
        return [], None
    last = connection.execute(SQL["last_record"]).fetchone()[0]
    end = after + _WINDOW_ROWS
    paths = connection.execute(SQL["leftovers"], (after, end, route, plan)).fetchall()
    return [row[0] for row in paths], end if end < last else None


def delivered_of_other_plans(
    connection: sqlite3.Connection, route: str, plan: int, after: int
) -> tuple[list[tuple[Sighting, Place, str]], int | None]:
    """Return the delivered files of other plans in one window of the records, and the start of the next window."""
    last = connection.execute(SQL["last_record"]).fetchone()[0]
    end = after + _WINDOW_ROWS
    files = [
        (Sighting(route, path, rows.fingerprint(text)), Place(endpoint, bucket), key)
        for path, text, endpoint, bucket, key in connection.execute(
            SQL["delivered_of_other_plans"], (after, end, route, plan)
        )
    ]
    return files, end if end < last else None
