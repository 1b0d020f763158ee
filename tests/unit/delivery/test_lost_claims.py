"""A file that the journal has as being sent and that nobody sends is found, told and sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crosshaul.delivery import lost_claims
from crosshaul.model import State
from crosshaul.partner import Delay, PartnerAccount, Rule
from support.lane import lane_to

pytestmark = pytest.mark.usefixtures("account_a")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search takes place far more often than once a minute."""
    monkeypatch.setattr(lost_claims, "_EVERY_SECONDS", 0.1)


@pytest.mark.usefixtures("often")
async def test_a_claim_that_nobody_holds_is_released_told_once_and_sent(partner: PartnerAccount, tmp_path: Path):
    """Claims whose answer was lost on its way to the loop are pending again, with no restart."""
    async with lane_to(partner, tmp_path, running=False) as lane:
        await lane.drop("delivered", b"x")
        lane.start()
        await lane.comes_to("delivered", State.DELIVERED)
        lane.transfer.serve({"r": lane.route}, [], {})  # paused, so that the loop takes none of them
        for name in ("a", "b"):
            await lane.drop(name, b"x")
        assert len(await lane.journal.claim(["r"], 10)) == 2
        lane.transfer.serve({"r": lane.route}, ["r"], {})
        for name in ("a", "b"):
            await lane.comes_to(name, State.DELIVERED)
        assert sorted(lane.ear.lost) == [b"a", b"b"]


@pytest.mark.usefixtures("often")
async def test_what_is_queued_or_slow_is_not_lost(partner: PartnerAccount, tmp_path: Path):
    """Many searches go by while files wait for a worker and for answers: none is taken from its holder."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=Delay(0.3)))
    async with lane_to(partner, tmp_path, max_concurrency=1) as lane:
        names = [f"f{number}" for number in range(5)]
        await asyncio.gather(*(lane.drop(name, b"x") for name in names))
        for name in names:
            await lane.comes_to(name, State.DELIVERED)
        assert lane.ear.lost == []
        assert len(lane.calls("PutObject")) == len(names)


async def test_a_file_that_was_claimed_again_since_is_left_to_its_holder(partner: PartnerAccount, tmp_path: Path):
    """What is found lost is released only as the very claim that was found."""
    async with lane_to(partner, tmp_path, running=False) as lane:
        await lane.drop("a", b"x")
        (first,) = await lane.journal.claim(["r"], 10)
        found = await lane.journal.claims_held(["r"])
        await lane.journal.reclaim(["r"])
        assert [claim.id for claim in await lane.journal.claim(["r"], 10)] == [first.id]
        assert await lane.journal.release_lost(found) == []
        assert (await lane.record("a")).state is State.UPLOADING
        (again,) = await lane.journal.claims_held(["r"])
        assert await lane.journal.release_lost([again]) == [again]
        assert await lane.journal.claims_held(["r"]) == []
