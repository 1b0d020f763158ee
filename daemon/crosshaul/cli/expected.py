"""What `crosshaul wait` waits for: every file that is there now, or on its way, until the journal has it delivered."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crosshaul.cli.paths import RoutePosition
from crosshaul.display import text
from crosshaul.errors import SourceError
from crosshaul.files.marker import marked
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.model import (
    NO_PLAN,
    UNFINISHED,
    ChangedFiles,
    Fingerprint,
    PlanId,
    PushProgress,
    Record,
    RoutePlan,
    Sighting,
    State,
)

if TYPE_CHECKING:
    from crosshaul.config import Config, Route

_AT_ONCE = 100
"""Files that are not done, looked at each time: one that is stuck must not hide what becomes of those behind it."""


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file to be waited for, as it was at the start."""

    place: RoutePosition
    fingerprint: Fingerprint


class ExpectedFiles:
    """The files still to be waited for, looked at in turn, and no more of them at a time than a moment allows."""

    def __init__(self, files: Iterable[ExpectedFile], wanted: Mapping[str, RoutePlan], began: float) -> None:
        self._wanted = wanted
        self._left = deque(files)
        self._began = began
        self._found = len(self._left)
        self._bytes = self._bytes_left = sum(file.fingerprint.size for file in self._left)

    def first_left(self, reader: Reader | None) -> ExpectedFile | None:
        """Drop what is done with, up to the first files that are not; one of these, or None if nothing is left."""
        first, plans = None, self._plans(reader)
        for _ in range(min(_AT_ONCE, len(self._left))):
            file = self._drop_done(reader, plans)
            if file is None:
                return None
            first = first or file
            self._left.rotate(-1)
        return first

    def _plans(self, reader: Reader | None) -> dict[str, int]:
        """How the journal numbers the routes' plans: anew each time, since a daemon may not have this one yet."""
        return {route: reader.plan(plan).id for route, plan in self._wanted.items()} if reader else {}

    def _drop_done(self, reader: Reader | None, plans: Mapping[str, int]) -> ExpectedFile | None:
        while self._left and _is_done(self._left[0], reader, plans, self._began):
            self._bytes_left -= self._left.popleft().fingerprint.size
        return self._left[0] if self._left else None

    def count(self, reader: Reader | None) -> int:
        """How many are left; looks at each."""
        plans = self._plans(reader)
        return sum(not _is_done(file, reader, plans, self._began) for file in self._left)

    def progress(self, reader: Reader | None) -> PushProgress:
        """How far it is, as far as it was looked; the parts that are in the bucket count."""
        sending = reader.uploading(_AT_ONCE) if reader else []
        parts = sum(record.multipart.sent for record in sending if record.multipart)
        return PushProgress(
            found=self._found,
            delivered=self._found - len(self._left),
            failed=0,
            delivered_bytes=self._bytes - self._bytes_left + min(parts, self._bytes_left),
            total_bytes=self._bytes,
            current=tuple(text(record.path) for record in sending[:1]),
        )


def expected(
    config: Config, wanted: Mapping[str, RoutePlan], reader: Reader | None, problems: list[str]
) -> Iterator[ExpectedFile]:
    """Everything in the routes' directories that the journal does not have as delivered, and all it has on its way.

    A directory that can't be read adds a line to ``problems``: then only what the journal knows of it is waited for.
    """
    for route in config.routes:
        plan = reader.plan(wanted[route.name]) if reader else NO_PLAN
        try:
            yield from (
                ExpectedFile(RoutePosition(route, seen.path), seen.fingerprint) for seen in _there(route, plan, reader)
            )
        except SourceError as error:
            problems.append(str(error))
        for state in UNFINISHED if reader else ():
            for record in reader.records(state, route.name) if reader else ():
                if record.plan == plan.id:  # else it goes only if it is seen
                    yield ExpectedFile(RoutePosition(route, record.path), record.fingerprint)


def _there(route: Route, plan: PlanId, reader: Reader | None) -> Iterator[Sighting]:
    """Files in the route's directory that are news to the journal, and finished where a marker says so."""
    from crosshaul.discovery.scanner import Scanner  # noqa: PLC0415 - --help does without pathspec and pydantic

    scanner = Scanner(route)
    for batch in scanner.scan():
        news = reader.unfamiliar(route.name, batch.sightings, plan.id) if reader else ChangedFiles(batch.sightings, [])
        fresh = news.fresh
        if route.settle.marker is not None:
            recorded = reader.recorded(route.name, [seen.path for seen in fresh]) if reader else {}
            done = marked(fresh, scanner.markers(fresh), recorded)
            fresh = [seen for seen in fresh if seen.path in done]
        yield from fresh
        yield from news.rested


def _is_done(file: ExpectedFile, reader: Reader | None, plans: Mapping[str, int], began: float) -> bool:
    """Whether it is delivered, set aside (which is told apart), or gone."""
    record = reader.find(file.place.route.name, file.place.relative) if reader else None
    if record is None or record.state is State.GONE or record.plan != plans[record.route]:
        return not os.path.lexists(file.place.absolute)
    if record.state is State.QUARANTINED:
        return record.fingerprint == file.fingerprint
    return record.state is State.DELIVERED and _covers(record, file, began)


def _covers(record: Record, file: ExpectedFile, began: float) -> bool:
    """The file as it was then, or any later state of it: one that is always being changed must not block for ever."""
    delivered_at = record.receipt.delivered_at if record.receipt else 0.0
    return record.fingerprint == file.fingerprint or delivered_at >= began
