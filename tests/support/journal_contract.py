"""The stores to which the journal's contract applies, and the steps of its tests."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from crosshaul.concurrency.clock import Clock
from crosshaul.journal import Journal, JournalStore, requeue
from crosshaul.model import (
    Changed,
    Claim,
    Outcome,
    Quarantine,
    Record,
    Release,
    Sighting,
    State,
)
from support.journal_samples import (
    DONE,
    ROUTE,
    SLOW,
    settled,
)


@dataclass(frozen=True)
class Factory:
    """Opens a store; ``requeue`` works from outside, beside an open one."""

    open: Callable[[Path, Clock], Awaitable[JournalStore]]
    requeue: Callable[[Path, Sequence[tuple[str, bytes]] | None], int]
    import_line: str
    """Imports the class as ``Store``, for a program that opens it in a process of its own."""


FACTORIES = {"sqlite": Factory(Journal.open, requeue, "from crosshaul.journal import Journal as Store")}


NOT_UPLOADING = [state for state in State if state != State.UPLOADING]
MUST_SETTLE = [State.CHANGED, State.GONE]
"""The states in which an unchanged file has to be seen at rest again."""


async def record_of(store: JournalStore, path: bytes = b"a", route: str = ROUTE) -> Record:
    record = await store.find(route, path)
    assert record is not None
    return record


async def changed_sightings(store: JournalStore, sightings: Sequence[Sighting], route: str = ROUTE) -> list[Sighting]:
    """Return the sightings that discovery has to process, for any reason."""
    changed, other_plan = await store.filter_changed(route, sightings)
    return [*changed, *other_plan]


async def claimed(store: JournalStore, path: bytes = b"a") -> Claim:
    await store.admit([settled(path)])
    return (await store.claim([ROUTE], 1))[0]


@asynccontextmanager
async def after_crash(factory: Factory, state_dir: Path, clock: Clock) -> AsyncIterator[JournalStore]:
    """Open the state directory as a power cut would leave it now."""
    shutil.copytree(state_dir, state_dir.with_name("after-crash"))
    reopened = await factory.open(state_dir.with_name("after-crash"), clock)
    yield reopened
    await reopened.close()


async def reach(store: JournalStore, state: State) -> Claim:
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
    assert (await record_of(store)).state == state
    return claim
