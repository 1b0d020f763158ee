"""A key changes hands while its former file is being sent, or checked after its delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crosshaul.journal import Journal
from crosshaul.model import (
    Changed,
    Claim,
    Outcome,
    Place,
    PlanId,
    Quarantine,
    Release,
    RetryLater,
    RoutePlan,
    Settled,
    State,
)
from support.journal_samples import DONE, LOST, SLOW, sighting
from support.virtual_time import ManualClock

THERE = Place("aws", "inbox")


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(tmp_path / "state", ManualClock())
    yield opened
    await opened.close()


async def plan(journal: Journal, route: str) -> PlanId:
    """Apply the configuration of this route alone."""
    wanted = RoutePlan(route, "partner", THERE, b"/srv", route, by_content=False)
    return (await journal.apply_plans([wanted], {"partner": THERE}))[route]


async def take(journal: Journal, route: str) -> Claim:
    """Admit the file to the route, and claim it."""
    of_now = await plan(journal, route)
    await journal.admit([Settled(sighting(b"f", route=route), "partner", "f", plan=of_now)])
    (claim,) = await journal.claim([route], 10)
    return claim


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Release(1.0), State.QUARANTINED),
        (RetryLater(1.0, LOST, 1), State.QUARANTINED),
        (Quarantine(SLOW), State.QUARANTINED),
        (Changed(), State.CHANGED),
        (DONE, State.DELIVERED),
    ],
)
async def test_a_try_may_end_in_any_way_after_the_key_went_to_another_route(
    journal: Journal, outcome: Outcome, state: State
) -> None:
    """If a route is renamed during an upload the new one has the key, and any outcome of the old claim is accepted."""
    old = await take(journal, "old")
    new = await take(journal, "new")
    assert await journal.finish(old, outcome) is state
    assert await journal.finish(new, Release(1.0)) is State.PENDING


async def test_what_lost_its_key_after_its_delivery_is_not_queued_again(journal: Journal) -> None:
    """A source with other bytes stays delivered if its route excludes it meanwhile."""
    claim = await take(journal, "r")
    await journal.finish(claim, DONE._replace(after_due_at=1.0))
    (task,) = await journal.due_after_tasks("r", 1)
    await journal.mark_excluded("r", [b"f"])
    await journal.send_again(task, SLOW, 0.0)
    record = await journal.find("r", b"f")
    assert record is not None
    assert record.state is State.DELIVERED
