"""A file that the journal counts as uploading without an upload is found, logged and sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crosshaul.delivery import lost_claims
from crosshaul.model import State
from crosshaul.partner import Delay, PartnerAccount, Rule
from support.pipeline import open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search far more often than once a minute."""
    monkeypatch.setattr(lost_claims, "_INTERVAL_SECONDS", 0.1)


@pytest.mark.usefixtures("often")
async def test_a_claim_that_nobody_holds_is_released_reported_once_and_sent(partner: PartnerAccount, tmp_path: Path):
    """Claims that were lost on the way to the loop are pending again without a restart."""
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:
        await pipeline.drop("delivered", b"x")
        pipeline.start()
        await pipeline.comes_to("delivered", State.DELIVERED)
        pipeline.runtime.pause(["r"])  # so that the loop takes none of them
        for name in ("a", "b"):
            await pipeline.drop(name, b"x")
        assert len(await pipeline.journal.claim(["r"], 10)) == 2
        pipeline.runtime.resume(["r"])
        for name in ("a", "b"):
            await pipeline.comes_to(name, State.DELIVERED)
        assert sorted(pipeline.observer.lost) == [b"a", b"b"]


@pytest.mark.usefixtures("often")
async def test_what_is_queued_or_slow_is_not_lost(partner: PartnerAccount, tmp_path: Path):
    """Claims that wait for a worker or a response are not released by repeated searches."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=Delay(0.3)))
    async with open_pipeline(partner, tmp_path, max_concurrency=1) as pipeline:
        names = [f"f{number}" for number in range(5)]
        await asyncio.gather(*(pipeline.drop(name, b"x") for name in names))
        for name in names:
            await pipeline.comes_to(name, State.DELIVERED)
        assert pipeline.observer.lost == []
        assert len(pipeline.calls("PutObject")) == len(names)


async def test_a_file_that_was_claimed_again_since_is_left_to_its_holder(partner: PartnerAccount, tmp_path: Path):
    """A lost claim is released only if the journal still has that claim."""
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:
        await pipeline.drop("a", b"x")
        (first,) = await pipeline.journal.claim(["r"], 10)
        found = await pipeline.journal.held_claims(["r"])
        await pipeline.journal.reclaim(["r"])
        assert [claim.id for claim in await pipeline.journal.claim(["r"], 10)] == [first.id]
        assert await pipeline.journal.release_lost(found) == []
        assert (await pipeline.record("a")).state is State.UPLOADING
        (again,) = await pipeline.journal.held_claims(["r"])
        assert await pipeline.journal.release_lost([again]) == [again]
        assert await pipeline.journal.held_claims(["r"]) == []
