"""What a store of the journal is to its users, and the steps that the contract's tests are made of."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crosshaul.concurrency.clock import Clock
from crosshaul.errors import Diagnosis
from crosshaul.journal import Journal, requeue
from crosshaul.journal.canary_choice import CanaryCriteria
from crosshaul.model import (
    AfterAction,
    AfterTask,
    Changed,
    ChangedFiles,
    Claim,
    Denial,
    DestinationStatus,
    Multipart,
    Outcome,
    Part,
    Place,
    PlanId,
    Quarantine,
    Record,
    Recorded,
    Release,
    RouteCounts,
    RoutePlan,
    RouteStatus,
    Settled,
    Sighting,
    State,
)
from support.journal_samples import (
    DONE,
    ROUTE,
    SLOW,
    settled,
)


class Store(Protocol):
    async def close(self) -> None: ...
    async def recorded(self, route: str, paths: Sequence[bytes]) -> dict[bytes, Recorded]: ...
    async def apply_plans(self, wanted: Sequence[RoutePlan], places: Mapping[str, Place]) -> dict[str, PlanId]: ...
    async def filter_changed(self, route: str, sightings: Sequence[Sighting], plan: int = 0) -> ChangedFiles: ...
    async def admit(self, settled: Sequence[Settled]) -> list[Denial]: ...
    async def mark_gone(self, route: str, paths: Sequence[bytes]) -> None: ...
    async def save_route(self, status: RouteStatus) -> None: ...
    async def claim(self, routes: Sequence[str], small: int, large: int = 0) -> list[Claim]: ...
    async def claim_canary(self, routes: Sequence[str], wish: CanaryCriteria) -> Claim | None: ...
    async def next_due(self, routes: Sequence[str]) -> float | None: ...
    async def finish(self, claim: Claim, outcome: Outcome) -> State: ...
    async def begin_multipart(self, claim: Claim, multipart: Multipart) -> None: ...
    async def add_part(self, claim: Claim, part: Part) -> None: ...
    async def drop_multipart(self, claim: Claim) -> None: ...
    async def drop_kept_receipt(self, claim: Claim) -> None: ...
    async def make_due(self, routes: Sequence[str]) -> None: ...
    async def due_after_tasks(self, route: str, limit: int) -> list[AfterTask]: ...
    async def cap_after_due(self, route: str, latest: float) -> None: ...
    async def next_after_due(self, route: str) -> float | None: ...
    async def finish_after_task(
        self, task: AfterTask, action: AfterAction, diagnosis: Diagnosis | None = None
    ) -> None: ...
    async def save_destination(self, status: DestinationStatus) -> None: ...
    async def destinations(self) -> list[DestinationStatus]: ...
    async def route_counts(self) -> list[RouteCounts]: ...
    async def find(self, route: str, path: bytes) -> Record | None: ...


@dataclass(frozen=True)
class Factory:
    """How a store is opened; ``requeue`` works from outside, beside an open one."""

    open: Callable[[Path, Clock], Awaitable[Store]]
    requeue: Callable[[Path, Sequence[tuple[str, bytes]] | None], int]


FACTORIES = {"sqlite": Factory(Journal.open, requeue)}


BUT_UPLOADING = [state for state in State if state != State.UPLOADING]
TO_SETTLE = [State.CHANGED, State.GONE]
"""The states in which an unchanged file has to be seen at rest again."""


async def the(store: Store, path: bytes = b"a", route: str = ROUTE) -> Record:
    record = await store.find(route, path)
    assert record is not None
    return record


async def to_judge(store: Store, sightings: Sequence[Sighting], route: str = ROUTE) -> list[Sighting]:
    """Those that are news: to come to rest first, or only to be judged anew."""
    fresh, rested = await store.filter_changed(route, sightings)
    return [*fresh, *rested]


async def claimed(store: Store, path: bytes = b"a") -> Claim:
    await store.admit([settled(path)])
    return (await store.claim([ROUTE], 1))[0]


@asynccontextmanager
async def after_crash(factory: Factory, state_dir: Path, clock: Clock) -> AsyncIterator[Store]:
    """The state directory as a power cut would leave it now, opened anew."""
    shutil.copytree(state_dir, state_dir.with_name("after-crash"))
    reopened = await factory.open(state_dir.with_name("after-crash"), clock)
    yield reopened
    await reopened.close()


async def reach(store: Store, state: State) -> Claim:
    """Bring the file ``a`` to ``state``; the claim is the one that was used on the way."""
    claim = await claimed(store)
    outcomes: dict[State, Outcome] = {
        State.PENDING: Release(),
        State.CHANGED: Changed(),
        State.DELIVERED: DONE,
        State.QUARANTINED: Quarantine(SLOW),
    }
    if state in outcomes:
        await store.finish(claim, outcomes[state])
    if state is State.GONE:
        await store.finish(claim, Changed())
        await store.mark_gone(ROUTE, [b"a"])
    assert (await the(store)).state == state
    return claim
