"""Claims one due file for a parked destination; ``canary_choice`` picks it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from crosshaul.journal.canary_choice import CanaryCriteria, Candidate, choose
from crosshaul.journal.sqlite import bulk, claims
from crosshaul.model import Claim

_QUERIES = (("canaries_newest", False, 200), ("canaries_oldest", False, 200), ("canaries_oldest", True, 200))
"""Queries for candidates: name, whether the files failed before, and the maximum number per route and size."""
_MAX_CANDIDATES = 4_000


class CanaryRequest(NamedTuple):
    """One call of ``Journal.claim_canary``."""

    plans: Mapping[str, int]
    """By route: files that another plan queued are not claimed."""
    criteria: CanaryCriteria
    now: float


def claim_canary(connection: sqlite3.Connection, request: CanaryRequest) -> Claim | None:
    """Claim the best canary; None if no file is due."""
    candidates: dict[int, Candidate] = {}
    for candidate in _candidates(connection, request):
        candidates[candidate.id] = candidate
        if len(candidates) >= _MAX_CANDIDATES:
            break
    chosen = choose(candidates.values(), request.criteria)
    return None if chosen is None else next(iter(claims.take(connection, [chosen.id], request.now)), None)


def _candidates(connection: sqlite3.Connection, request: CanaryRequest) -> Iterator[Candidate]:
    # Each route in turn comes first, so that the limit does not always leave out the same one.
    routes = list(request.plans.items())
    first = request.criteria.turn % max(1, len(routes))
    for route, plan in [*routes[first:], *routes[:first]]:
        for large in (False, True):
            for query, failed, most in _QUERIES:
                files = bulk.ask(connection, query, (route, plan, large, failed, request.now, most))
                for file, path, due_at in files:
                    yield Candidate(file, route, bytes.fromhex(path), large, due_at, failed)
