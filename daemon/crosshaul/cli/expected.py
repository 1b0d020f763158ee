"""What `crosshaul wait` waits for: every file that is there now, or on its way, until the journal has it delivered."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crosshaul.cli.places import Place
from crosshaul.errors import SourceError
from crosshaul.journal.reader import Reader
from crosshaul.model import Fingerprint, Record, Sighting, State

if TYPE_CHECKING:
    from crosshaul.config import Config, Route

_UNFINISHED = (State.PENDING, State.UPLOADING, State.SETTLING)


@dataclass(frozen=True, slots=True)
class File:
    """A file to be waited for, as it was at the start."""

    place: Place
    fingerprint: Fingerprint


class Expected:
    """The files still to be waited for. They are looked at in turn, and only the first one is ever asked for again."""

    def __init__(self, files: Iterable[File], began: float) -> None:
        self._left = deque(files)
        self._began = began

    def first_left(self, reader: Reader | None) -> File | None:
        """Drop what is done with, up to the first file that is not; None if nothing is left."""
        while self._left and _is_done(self._left[0], reader, self._began):
            self._left.popleft()
        return self._left[0] if self._left else None

    def count(self, reader: Reader | None) -> int:
        """How many are left; looks at each."""
        return sum(not _is_done(file, reader, self._began) for file in self._left)


def expected(config: Config, reader: Reader | None, problems: list[str]) -> Iterator[File]:
    """Everything in the routes' directories that the journal does not have as delivered, and all it has on its way.

    A directory that can't be read adds a line to ``problems``: then only what the journal knows of it is waited for.
    """
    for route in config.routes:
        try:
            yield from (File(Place(route, seen.path), seen.fingerprint) for seen in _there(route, reader))
        except SourceError as error:
            problems.append(str(error))
        for state in _UNFINISHED if reader else ():
            for record in reader.records(state, route.name) if reader else ():
                yield File(Place(route, record.path), record.fingerprint)


def _there(route: Route, reader: Reader | None) -> Iterator[Sighting]:
    """Files in the route's directory that are news to the journal, and finished where a marker says so."""
    from crosshaul.scan import Scanner  # noqa: PLC0415 - --help does without pathspec and pydantic

    scanner = Scanner(route)
    for batch in scanner.scan():
        news = reader.unfamiliar(route.name, batch.sightings) if reader else batch.sightings
        marked = scanner.marked(news)
        yield from (seen for seen in news if route.settle.marker is None or seen.path in marked)


def _is_done(file: File, reader: Reader | None, began: float) -> bool:
    """Whether it is delivered, set aside (which is told apart), or gone."""
    record = reader.find(file.place.route.name, file.place.relative) if reader else None
    if record is None or record.state is State.GONE:
        return not os.path.lexists(file.place.absolute)
    if record.state is State.QUARANTINED:
        return record.fingerprint == file.fingerprint
    return record.state is State.DELIVERED and _covers(record, file, began)


def _covers(record: Record, file: File, began: float) -> bool:
    """The file as it was then, or any later state of it: one that is always being changed must not block for ever."""
    delivered_at = record.receipt.delivered_at if record.receipt else 0.0
    return record.fingerprint == file.fingerprint or delivered_at >= began
