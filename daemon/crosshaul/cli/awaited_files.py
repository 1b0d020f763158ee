"""The files that `crosshaul wait` waits for: all that exist or are queued when it starts."""

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
from crosshaul.journal import Reader
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

_FILES_PER_POLL = 100
"""Unfinished files that are checked in a poll: a stuck file must not hide the progress of those behind it."""


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file as it was at the start."""

    position: RoutePosition
    fingerprint: Fingerprint


class ExpectedFiles:
    """The files that are not delivered yet. A poll checks a bounded number of them, in turn."""

    def __init__(self, files: Iterable[ExpectedFile], plans: Mapping[str, RoutePlan], began: float) -> None:
        self._route_plans = plans
        self._left = deque(files)
        self._began = began
        self._total_files = len(self._left)
        self._bytes = self._bytes_left = sum(file.fingerprint.size for file in self._left)

    def first_left(self, reader: Reader | None) -> ExpectedFile | None:
        """Drop files that are done; return the first one that is not, or None if all are done."""
        first, plans = None, self._plans(reader)
        for _ in range(min(_FILES_PER_POLL, len(self._left))):
            file = self._drop_done(reader, plans)
            if file is None:
                return None
            first = first or file
            self._left.rotate(-1)
        return first

    def _plans(self, reader: Reader | None) -> dict[str, int]:
        """Return the journal's numbers of the routes' plans; a daemon may write them only after the start."""
        return {route: reader.plan(plan).id for route, plan in self._route_plans.items()} if reader else {}

    def _drop_done(self, reader: Reader | None, plans: Mapping[str, int]) -> ExpectedFile | None:
        while self._left and _is_done(self._left[0], reader, plans, self._began):
            self._bytes_left -= self._left.popleft().fingerprint.size
        return self._left[0] if self._left else None

    def count(self, reader: Reader | None) -> int:
        """Count the files that are left; checks each of them."""
        plans = self._plans(reader)
        return sum(not _is_done(file, reader, plans, self._began) for file in self._left)

    def progress(self, reader: Reader | None) -> PushProgress:
        """Return the progress so far, with the parts that are in the bucket."""
        sending = reader.uploading(_FILES_PER_POLL) if reader else []
        parts = sum(record.sent_bytes for record in sending)
        return PushProgress(
            total_files=self._total_files,
            delivered=self._total_files - len(self._left),
            failed=0,
            delivered_bytes=self._bytes - self._bytes_left + min(parts, self._bytes_left),
            total_bytes=self._bytes,
            current=tuple(text(record.path) for record in sending[:1]),
        )


def expected(
    config: Config, plans: Mapping[str, RoutePlan], reader: Reader | None, problems: list[str]
) -> Iterator[ExpectedFile]:
    """Yield the files in the routes' directories that are not delivered, and those that the journal has queued.

    A directory that can't be read adds a line to ``problems``; of its files only the queued ones are yielded then.
    """
    for route in config.routes:
        plan = reader.plan(plans[route.name]) if reader else NO_PLAN
        try:
            yield from (
                ExpectedFile(RoutePosition(route, seen.path), seen.fingerprint)
                for seen in _undelivered(route, plan, reader)
            )
        except SourceError as error:
            problems.append(str(error))
        for state in UNFINISHED if reader else ():
            for record in reader.records(state, route.name) if reader else ():
                if record.plan == plan.id:  # else it is delivered only if a scan finds it
                    yield ExpectedFile(RoutePosition(route, record.path), record.fingerprint)


def _undelivered(route: Route, plan: PlanId, reader: Reader | None) -> Iterator[Sighting]:
    """Yield the files in the route's directory that are not delivered; on a route with markers those with one."""
    from crosshaul.discovery.scanner import Scanner  # noqa: PLC0415 - --help does without pathspec and pydantic

    scanner = Scanner(route)
    for batch in scanner.scan():
        if reader:
            filtered = reader.filter_changed(route.name, batch.sightings, plan.id)
        else:
            filtered = ChangedFiles(batch.sightings, [])
        changed = filtered.changed
        if route.settle.marker is not None:
            recorded = reader.recorded(route.name, [seen.path for seen in changed]) if reader else {}
            done = marked(changed, scanner.markers(changed), recorded)
            changed = [seen for seen in changed if seen.path in done]
        yield from changed
        yield from filtered.other_plan


def _is_done(file: ExpectedFile, reader: Reader | None, plans: Mapping[str, int], began: float) -> bool:
    """Return whether the file is delivered, quarantined (reported at the end) or gone."""
    record = reader.find(file.position.route.name, file.position.relative) if reader else None
    if record is None or record.state is State.GONE or record.plan != plans[record.route]:
        return not os.path.lexists(file.position.absolute)
    if record.state is State.QUARANTINED:
        return record.fingerprint == file.fingerprint
    return record.state is State.DELIVERED and _covers(record, file, began)


def _covers(record: Record, file: ExpectedFile, began: float) -> bool:
    """Return whether the delivered state is the file's first one or a later one: a file may never stop changing."""
    delivered_at = record.receipt.delivered_at if record.receipt else 0.0
    return record.fingerprint == file.fingerprint or delivered_at >= began
