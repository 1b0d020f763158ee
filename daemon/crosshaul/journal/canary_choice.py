"""Chooses the file to try while a destination is parked: as different as possible from the refused ones. Pure.

A policy may deny a directory, a suffix, or a pattern of names. So the canary is a file that has not failed before, with
a directory, suffix and name pattern that was not refused yet; failing that, the newest and the oldest file in turn.
Files that failed before get every eighth turn, and all turns once there are no others. They are chosen by the same
criteria, the oldest first: a good file that failed once by chance does not wait for all refused files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_FAILED_EVERY_TURNS = 8
_MAX_REFUSED_TRAITS = 2_000
"""Refused traits that are remembered."""
_DIGITS = re.compile(rb"[0-9]+")

Trait = tuple[str, bytes | bool]


class Candidate(NamedTuple):
    """A file that is due; ``failed``: an earlier attempt failed."""

    id: int
    route: str
    path: bytes
    large: bool
    due_at: float
    failed: bool


class CanaryCriteria(NamedTuple):
    """Criteria for the next canary."""

    turn: int = 0
    refused: frozenset[Trait] = frozenset()
    """Traits of the files that were refused."""
    newer_than: float | None = None
    """If set, only a file that settled after this time (seconds since the epoch), and has not failed."""


def traits(route: str, path: bytes, *, large: bool) -> tuple[Trait, ...]:
    """Return the traits that a policy may select files by, the most likely first."""
    directory, _, name = path.rpartition(b"/")
    suffix = name.rpartition(b".")[2].lower() if b"." in name else b""
    return (
        (f"{route} directory", directory),
        (f"{route} suffix", suffix),
        (f"{route} name", _DIGITS.sub(b"0", name)),
        (f"{route} large", large),
    )


def choose(candidates: Iterable[Candidate], criteria: CanaryCriteria) -> Candidate | None:
    """Return the best canary among the due files."""
    fresh = [file for file in candidates if not file.failed]
    if criteria.newer_than is not None:
        return _best([file for file in fresh if file.due_at > criteria.newer_than], criteria, newest=True)
    failed = [file for file in candidates if file.failed]
    if failed and (not fresh or criteria.turn % _FAILED_EVERY_TURNS == _FAILED_EVERY_TURNS - 1):
        return _best(failed, criteria, newest=False)
    return _best(fresh, criteria, newest=criteria.turn % 2 == 0)


def _best(files: Sequence[Candidate], criteria: CanaryCriteria, *, newest: bool) -> Candidate | None:
    sign = -1 if newest else 1

    def rank(file: Candidate) -> tuple[object, ...]:
        refused = tuple(trait in criteria.refused for trait in traits(file.route, file.path, large=file.large))
        # Unlike the refused files, and small, so that the answer comes soon.
        return (min(refused[:3]), refused, file.large, sign * file.due_at, sign * file.id)

    return min(files, key=rank, default=None)


class Canaries:
    """The traits that were refused since the breaker tripped, and the present turn."""

    def __init__(self) -> None:
        self._refused: set[Trait] = set()
        self._turn = 0

    def add_refused(self, route: str, path: bytes, *, large: bool) -> None:
        """Note the traits of a file that was refused."""
        if len(self._refused) < _MAX_REFUSED_TRAITS:
            self._refused.update(traits(route, path, large=large))

    def criteria(self, newer_than: float | None) -> CanaryCriteria:
        """Return the criteria for the next canary."""
        return CanaryCriteria(self._turn, frozenset(self._refused), newer_than)

    def next_turn(self) -> None:
        """Count a canary."""
        self._turn += 1

    def reset(self) -> None:
        """Forget all: the destination accepts files again."""
        self._refused.clear()
        self._turn = 0
