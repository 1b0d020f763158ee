"""Which file goes while a destination takes none: one as unlike the refused ones as there is. Pure.

A policy may deny a directory, a suffix, or names of a form. So the canary is a file that has not failed before, of a
directory, suffix and form of name that was not refused yet, if there is one; else the newest and the oldest by turns.
Files that failed before have every eighth turn, and all of them once there are no others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_FAILED_TURN = 8
_REMEMBERED = 2_000
"""Refused kinds that are kept in mind."""
_DIGITS = re.compile(rb"[0-9]+")

Trait = tuple[str, bytes | bool]


class Candidate(NamedTuple):
    """A file that is due; ``failed``: an earlier try of it failed."""

    id: int
    route: str
    path: bytes
    large: bool
    due_at: float
    failed: bool


class CanaryCriteria(NamedTuple):
    """What the next canary should be like."""

    turn: int = 0
    refused: frozenset[Trait] = frozenset()
    """Traits of the files that were refused."""
    newer_than: float | None = None
    """Only one that came to rest after this time (seconds since the epoch), and has not failed."""


def traits(route: str, path: bytes, *, large: bool) -> tuple[Trait, ...]:
    """Return what a rule of the store's may go by, the most telling first."""
    directory, _, name = path.rpartition(b"/")
    suffix = name.rpartition(b".")[2].lower() if b"." in name else b""
    return (
        (f"{route} directory", directory),
        (f"{route} suffix", suffix),
        (f"{route} name", _DIGITS.sub(b"0", name)),
        (f"{route} large", large),
    )


def choose(candidates: Iterable[Candidate], wish: CanaryCriteria) -> Candidate | None:
    """Return the best canary among the due files."""
    fresh = [each for each in candidates if not each.failed]
    if wish.newer_than is not None:
        return _best([each for each in fresh if each.due_at > wish.newer_than], wish, newest=True)
    failed = [each for each in candidates if each.failed]
    if failed and (not fresh or wish.turn % _FAILED_TURN == _FAILED_TURN - 1):
        return min(failed, key=lambda each: (each.due_at, each.id))
    return _best(fresh, wish, newest=wish.turn % 2 == 0)


def _best(files: Sequence[Candidate], wish: CanaryCriteria, *, newest: bool) -> Candidate | None:
    sign = -1 if newest else 1

    def rank(each: Candidate) -> tuple[object, ...]:
        known = tuple(trait in wish.refused for trait in traits(each.route, each.path, large=each.large))
        # Something unlike all that was refused, rather small, since a canary is to be quick.
        return (min(known[:3]), known, each.large, sign * each.due_at, sign * each.id)

    return min(files, key=rank, default=None)


class Canaries:
    """What was refused since the breaker tripped, and whose turn it is."""

    def __init__(self) -> None:
        self._refused: set[Trait] = set()
        self._turn = 0

    def add_refused(self, route: str, path: bytes, *, large: bool) -> None:
        """Note the traits of a file that was refused."""
        if len(self._refused) < _REMEMBERED:
            self._refused.update(traits(route, path, large=large))

    def criteria(self, newer_than: float | None) -> CanaryCriteria:
        """Return what the next canary should be like."""
        return CanaryCriteria(self._turn, frozenset(self._refused), newer_than)

    def next_turn(self) -> None:
        """Note that a canary goes."""
        self._turn += 1

    def reset(self) -> None:
        """Forget all: the destination takes files again."""
        self._refused.clear()
        self._turn = 0
