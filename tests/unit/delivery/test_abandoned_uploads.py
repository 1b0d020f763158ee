"""Abandoned multipart uploads are aborted, whatever made the journal drop them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crosshaul.delivery.abandoned_uploads import UploadAborter
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.journal import Journal
from crosshaul.journal.sqlite import abandoned as abandoned_module
from crosshaul.model import Changed, Claim, Place, PlanId, Quarantine, Release, RetryLater, RoutePlan, Settled
from support.journal_samples import DONE, SLOW, START, multipart, part, sighting
from support.virtual_time import ManualClock

THERE, ELSEWHERE = Place("aws", "inbox"), Place("aws", "other")
DAY = 86_400.0


class Bucket:
    """Aborts, or refuses to."""

    def __init__(self) -> None:
        self.aborted: list[str] = []
        self.says: Diagnosis | None = None

    async def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        self.aborted.append(upload_id)
        if self.says is not None:
            raise Fault(self.says)


class RecordingObserver:
    def __init__(self) -> None:
        self.received: list[tuple[int, str]] = []

    def on_uploads_aborted(self, uploads: int) -> None:
        self.received.append((uploads, ""))

    def on_uploads_left_open(self, uploads: int, diagnosis: Diagnosis) -> None:
        self.received.append((uploads, diagnosis.code))


class World:
    """A journal, and one destination's aborter."""

    def __init__(self, journal: Journal, clock: ManualClock) -> None:
        self.journal, self.clock, self.bucket, self.observer = journal, clock, Bucket(), RecordingObserver()
        self.plans: dict[str, PlanId] = {}

    async def configure(self, *routes: str, place: Place = THERE) -> None:
        plans = [RoutePlan(route, "partner", place, b"/srv", f"{route} {place}", by_content=False) for route in routes]
        self.plans |= await self.journal.apply_plans(plans, {"partner": place})

    async def admit(self, *, size: int = 1, route: str = "r") -> None:
        await self.journal.admit([Settled(sighting(b"f", size, route=route), "partner", "f", plan=self.plans[route])])

    async def begun(self) -> Claim:
        """Make a file with parts in the bucket."""
        await self.admit()
        (claim,) = await self.journal.claim(["r"], 1, 1)
        await self.journal.begin_multipart(claim, multipart(key="f"))
        await self.journal.add_part(claim, part(1))
        return claim

    async def work(self, *, may_abort: bool = True, place: Place = THERE) -> list[str]:
        """Return what is aborted now."""
        self.bucket.aborted.clear()
        aborter = UploadAborter(place, self.journal, self.bucket, self.clock, self.observer, may_abort=may_abort)
        await aborter.abort_due(asyncio.Event())
        return list(self.bucket.aborted)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = ManualClock()
    journal = await Journal.open(tmp_path / "state", clock)
    world = World(journal, clock)
    await world.configure("r")
    yield world
    await journal.close()


async def put_back(world: World) -> None:
    await world.journal.finish(await world.begun(), Release(START))


@pytest.mark.parametrize("how", ["changed", "gone", "excluded", "another place"])
async def test_what_the_journal_drops_while_a_file_waits_is_aborted_once(world: World, how: str):
    """The upload of a file that changes, disappears, is excluded or gets another place is aborted at its old place."""
    await put_back(world)
    assert await world.work() == []
    match how:
        case "changed":
            await world.admit(size=2)
        case "gone":
            await world.journal.mark_gone("r", [b"f"])
        case "excluded":
            await world.journal.mark_excluded("r", [b"f"])
        case "another place":
            await world.configure("r", place=ELSEWHERE)
            await world.admit()
    assert await world.work(place=ELSEWHERE) == []
    assert await world.work() == ["upload-1"]
    assert world.observer.received == [(1, "")]
    assert await world.work() == []


@pytest.mark.parametrize(
    "outcome",
    [Changed(), RetryLater(START, SLOW, drop_multipart=True), RetryLater(START, SLOW), Quarantine(SLOW), DONE],
)
async def test_what_is_restarted_is_aborted_and_what_continues_or_is_complete_is_not(world: World, outcome: object):
    """Only an upload that the journal gave up is aborted."""
    await world.journal.finish(await world.begun(), outcome)  # type: ignore[arg-type]
    dropped = isinstance(outcome, Changed) or (isinstance(outcome, RetryLater) and outcome.drop_multipart)
    assert await world.work() == (["upload-1"] if dropped else [])


async def test_nothing_is_aborted_under_a_claim_that_may_be_at_it(world: World):
    """The upload of a file that changes during an attempt is aborted after the attempt has ended."""
    claim = await world.begun()
    await world.admit(size=2)
    assert await world.work() == []
    await world.journal.finish(claim, Changed())
    assert await world.work() == ["upload-1"]


async def test_a_route_that_is_gone_for_a_day_leaves_no_parts(world: World):
    """The uploads of a removed route are kept for a day and then aborted."""
    await put_back(world)
    await world.configure("another")
    world.clock.at += DAY - 1
    assert await world.work() == []
    await world.configure("r", "another")
    world.clock.at += 2
    assert await world.work() == []
    await world.configure("another")
    assert await world.work() == ["upload-1"]


async def test_one_that_fails_is_tried_again_later_and_at_last_given_up(world: World):
    """Pauses grow to 6 hours; a refusal ends the attempts, and an unknown upload counts as aborted."""
    await put_back(world)
    await world.admit(size=2)
    world.bucket.says = Diagnosis(FaultKind.NETWORK, "ConnectTimeout", "no answer")
    began, tries = world.clock.at, 0
    while not world.observer.received:
        tries += len(await world.work())
        assert tries <= 30
        world.clock.at += 60
    assert (tries, world.observer.received) == (30, [(1, "ConnectTimeout")])
    assert 5 * DAY < world.clock.at - began < 8 * DAY


@pytest.mark.parametrize(("code", "received"), [("AccessDenied", "AccessDenied"), ("NoSuchUpload", "")])
async def test_an_answer_that_stays_ends_it(world: World, code: str, received: str):
    """A role without the right leaves the upload to the lifecycle rule; a missing upload needs no abort."""
    await put_back(world)
    await world.admit(size=2)
    world.bucket.says = Diagnosis(FaultKind.DESTINATION, code, "no")
    assert await world.work() == ["upload-1"]
    assert await world.work() == []
    assert world.observer.received == [(1, received)]


async def test_where_a_check_found_that_the_role_may_not_nothing_is_asked(world: World):
    """If a check found the right missing, the list is emptied without calls, and that is logged."""
    await put_back(world)
    await world.admit(size=2)
    assert await world.work(may_abort=False) == []
    assert world.observer.received == [(1, "AccessDenied")]


async def test_the_list_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch):
    """Uploads beyond the limit are not kept."""
    monkeypatch.setattr(abandoned_module, "_MAX_ROWS", 3)
    for number in range(5):
        await world.admit(size=number + 1)
        (claim,) = await world.journal.claim(["r"], 1, 1)
        await world.journal.begin_multipart(claim, multipart(key="f", upload_id=f"upload-{number}"))
        await world.journal.finish(claim, Changed())
    assert len(await world.work()) == 3
