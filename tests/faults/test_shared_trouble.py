"""Trouble that all files of a destination share is judged once: few calls while it lasts, and no file is blamed.

One file's own fault does not delay other files: refused files, files that stall, files that can't be read.
With the default pauses (retry: 1 s to 300 s), on the strict account.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from crosshaul.aws.http1 import Deadlines
from crosshaul.config import RetryConfig
from crosshaul.delivery import canary_schedule
from crosshaul.errors import FaultKind
from crosshaul.model import Quarantine, RetryLater, State
from crosshaul.partner import Delay, Error, PartnerAccount, Reset, Rule, Stall
from crosshaul.partner.exchange import Exchange, FaultAction
from support.pipeline import MIB, QUICK, Pipeline, open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")

DEFAULT = RetryConfig()
DENIED = Error(403, "AccessDenied", "not this one")


async def drop_all(pipeline: Pipeline, names: list[str], size: int = 1) -> None:
    for name in names:
        path = pipeline.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(size))
    await pipeline.admit_all(names)


async def until(condition, seconds: float = 60.0) -> float:
    """Return the seconds until the condition holds."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
    return time.monotonic() - began


def has(partner: PartnerAccount, *names: str) -> bool:
    return set(names) <= partner.objects.keys()


# One file's refusal


@pytest.mark.parametrize("forbidden", [1, 40, 1_000])
async def test_a_good_file_waits_seconds_behind_forbidden_ones(forbidden: int, partner: PartnerAccount, tmp_path: Path):
    """With a policy that denies *.exe, a later file of another name is delivered within seconds, and so is the next."""
    partner.faults.add(Rule(operation="PutObject", key="*.exe", times=None, action=DENIED))
    async with open_pipeline(partner, tmp_path, retry=RetryConfig(initial=60, max=300)) as pipeline:
        await drop_all(pipeline, [f"setup{number}.exe" for number in range(forbidden)])
        await until(lambda: pipeline.observer.parkings)
        await asyncio.sleep(1.5)
        for number in range(3):
            await drop_all(pipeline, [f"good{number}.csv"])
            assert await until(lambda name=f"good{number}.csv": has(partner, name)) < 20.0
            await asyncio.sleep(0.5)


async def test_forbidden_files_that_were_there_first_hold_up_the_others_for_seconds(
    partner: PartnerAccount, tmp_path: Path
):
    """The one permitted file of a backlog of four hundred forbidden ones is delivered within seconds."""
    partner.faults.add(Rule(operation="PutObject", key="denied/*", times=None, action=DENIED))
    async with open_pipeline(partner, tmp_path, retry=DEFAULT, running=False) as pipeline:
        denied = [f"denied/{number}" for number in range(400)]
        await drop_all(pipeline, [*denied[:200], "fine/1", *denied[200:]])
        pipeline.start()
        assert await until(lambda: has(partner, "fine/1")) < 30.0


async def test_a_forbidden_file_alone_counts_its_tries_and_is_set_aside(partner: PartnerAccount, tmp_path: Path):
    """Once another file succeeded, the refused file's attempts all count, and it does not park the destination."""
    partner.faults.add(Rule(operation="PutObject", key="*.exe", times=None, action=DENIED))
    async with open_pipeline(
        partner, tmp_path, retry=RetryConfig(initial=0.05, max=0.4, quarantine_after=6)
    ) as pipeline:
        await drop_all(pipeline, ["setup.exe"])
        await until(lambda: len(pipeline.calls("PutObject")) >= 3)
        assert (await pipeline.record("setup.exe")).attempts == 0
        await drop_all(pipeline, ["good.csv"])
        await pipeline.comes_to("good.csv", State.DELIVERED)
        record = await pipeline.comes_to("setup.exe", State.QUARANTINED)
        refused = [call for call in pipeline.calls("PutObject") if call.key == "setup.exe"]
        assert len(refused) >= 4
        assert record.diagnosis is not None
        assert record.diagnosis.code == "AccessDenied"
        assert len(pipeline.observer.parkings) == 1
        counted = [
            outcome for _, outcome in pipeline.observer.outcomes if isinstance(outcome, RetryLater) and outcome.counts
        ]
        last = pipeline.observer.outcomes[-1][1]
        assert isinstance(last, Quarantine)
        assert record.attempts == sum(outcome.counts for outcome in counted) + last.counts >= 4


async def test_a_role_that_may_nothing_any_more_parks_after_a_few_calls(partner: PartnerAccount, tmp_path: Path):
    """A role without rights parks the destination after a few calls: no attempt is counted, and canaries are few."""
    async with open_pipeline(partner, tmp_path, retry=DEFAULT, max_concurrency=4) as pipeline:
        await drop_all(pipeline, [f"before{number}" for number in range(20)])
        await until(lambda: len(partner.objects) == 20)
        partner.faults.add(Rule(operation="PutObject", times=None, action=DENIED))
        sent, began = len(pipeline.calls("PutObject")), time.monotonic()
        while time.monotonic() < began + 4.0:
            await drop_all(pipeline, [f"during{time.monotonic()}"])
            await asyncio.sleep(0.05)
        assert len(pipeline.observer.parkings) == 1
        assert len(pipeline.calls("PutObject")) - sent <= 16
        assert not [
            outcome for _, outcome in pipeline.observer.outcomes if isinstance(outcome, RetryLater) and outcome.counts
        ]
        partner.faults.clear()
        await drop_all(pipeline, ["after"])
        assert await until(lambda: has(partner, "after")) < 20.0
        assert pipeline.observer.resumptions == 1


class _Held(FaultAction):
    """A request that is answered when the gate is opened."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def on_request(self, exchange: Exchange) -> None:
        """Wait for it."""
        await self.gate.wait()


async def test_the_first_part_that_is_taken_ends_a_parking(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first accepted part of a large canary ends the parking, so small files are sent meanwhile."""
    partner.faults.add(Rule(operation="PutObject", times=1, action=DENIED))
    monkeypatch.setattr(canary_schedule, "_PATIENCE_SECONDS", 600.0)  # nothing is sent beside a canary in flight
    parts = _Held()
    partner.faults.add(Rule(operation="UploadPart", times=None, action=parts))
    patient = Deadlines(progress=600.0, response=600.0)
    async with open_pipeline(partner, tmp_path, retry=RetryConfig(initial=0.2, max=0.2), deadlines=patient) as pipeline:
        await drop_all(pipeline, ["refused"])
        await until(lambda: pipeline.observer.parkings)
        (pipeline.root / "refused").unlink()
        await drop_all(pipeline, ["large"], 12 * MIB)
        await until(lambda: pipeline.calls("CreateMultipartUpload"))
        await drop_all(pipeline, [f"small{number}" for number in range(20)])
        await until(lambda: sum(name.startswith("small") for name in partner.objects) == 20)
        assert "large" not in partner.objects
        parts.gate.set()
        await pipeline.comes_to("large", State.DELIVERED)


# Nothing gets through


OUTAGES = {
    "503 to all": Error(503, "SlowDown", "Reduce your request rate."),
    "500 to all": Error(500, "InternalError", "We encountered an internal error."),
    "connections reset": Reset("before_body"),
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_with_a_backlog_costs_a_few_calls_and_hardly_a_write(
    name: str, partner: PartnerAccount, tmp_path: Path
):
    """With two thousand pending files an outage costs fewer than 5 calls a second, and delivery resumes after it."""
    partner.faults.add(Rule(operation="*", times=None, action=OUTAGES[name]))
    partner.faults.add(Rule(operation="AssumeRole", times=None, action=Delay(0.0)))
    async with open_pipeline(partner, tmp_path, retry=DEFAULT, running=False, max_concurrency=64) as pipeline:
        partner.faults.clear()
        await drop_all(pipeline, [f"f{number}" for number in range(2_000)])
        partner.faults.add(Rule(operation="PutObject", times=None, action=OUTAGES[name]))
        partner.faults.add(Rule(operation="HeadObject", times=None, action=OUTAGES[name]))
        pipeline.start()
        await until(lambda: pipeline.observer.outages)
        await asyncio.sleep(1.0)
        calls, commits = len(partner.calls), pipeline.journal.commits
        await asyncio.sleep(3.0)
        assert len(partner.calls) - calls <= 15
        assert pipeline.journal.commits - commits <= 40
        assert pipeline.observer.parkings == []
        partner.faults.clear()
        assert await until(lambda: len(partner.objects) > 100) < 20.0
        assert pipeline.observer.recoveries == 1
        assert {each.writes for each in partner.objects.values()} == {1}


async def test_the_pause_that_the_store_asks_for_is_everybody_s(partner: PartnerAccount, tmp_path: Path):
    """Retry-After: 120 holds for all files, new ones included, until credentials are renewed."""
    asked = Error(503, "SlowDown", "Reduce your request rate.", headers={"Retry-After": "120"})
    async with open_pipeline(partner, tmp_path, retry=DEFAULT, running=False) as pipeline:
        partner.faults.add(Rule(operation="PutObject", times=None, action=asked))
        await drop_all(pipeline, [f"f{number}" for number in range(2_000)])
        pipeline.start()
        await until(lambda: pipeline.observer.outages)
        await until(lambda: not pipeline.context.slots.used)
        calls = len(pipeline.calls("PutObject"))
        await drop_all(pipeline, ["new"])
        await asyncio.sleep(2.5)
        assert len(pipeline.calls("PutObject")) == calls
        partner.faults.clear()
        pipeline.transfer.probe_now()  # except files that were tried in the first half second
        await until(lambda: len(partner.objects) > 1_000)


@pytest.mark.parametrize("name", OUTAGES)
async def test_no_outage_sets_files_aside(name: str, partner: PartnerAccount, tmp_path: Path):
    """With quarantine_after: 2 an outage of many canaries quarantines no file, and all arrive."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=OUTAGES[name]))
    async with open_pipeline(
        partner, tmp_path, retry=RetryConfig(initial=0.02, max=0.05, quarantine_after=2)
    ) as pipeline:
        await drop_all(pipeline, [f"f{number}" for number in range(20)])
        await until(lambda: len(pipeline.observer.outages) > 20)
        partner.faults.clear()
        await until(lambda: len(partner.objects) == 20)
        kinds = {outcome.diagnosis.kind for _, outcome in pipeline.observer.outcomes if isinstance(outcome, RetryLater)}
        assert kinds <= {FaultKind.THROTTLED, FaultKind.NETWORK}


async def test_a_root_that_is_away_sets_no_file_aside(partner: PartnerAccount, tmp_path: Path):
    """With quarantine_after: 2 the files of a missing volume stay pending, and are delivered when it is back."""
    async with open_pipeline(
        partner, tmp_path, retry=RetryConfig(initial=0.02, max=0.05, quarantine_after=2), running=False
    ) as pipeline:
        await drop_all(pipeline, [f"f{number}" for number in range(20)])
        pipeline.root.rename(tmp_path / "away")
        pipeline.start()
        await until(lambda: len(pipeline.observer.outcomes) > 100)
        (tmp_path / "away").rename(pipeline.root)
        await until(lambda: len(partner.objects) == 20)


async def test_what_is_set_aside_begins_again(partner: PartnerAccount, tmp_path: Path):
    """A quarantined multipart file forgets its upload, so that `retry` begins a new one."""
    partner.faults.add(Rule(operation="CompleteMultipartUpload", times=2, action=Error(404, "NoSuchUpload", "gone")))
    async with open_pipeline(
        partner, tmp_path, retry=RetryConfig(initial=0.02, max=0.05, quarantine_after=1)
    ) as pipeline:
        await drop_all(pipeline, ["large"], 12 * MIB)
        record = await pipeline.comes_to("large", State.QUARANTINED)
        assert record.multipart is None


# Files that stall


@pytest.mark.alone
async def test_files_that_stall_leave_room_for_those_that_do_not(partner: PartnerAccount, tmp_path: Path):
    """With sixty files whose PUTs stall and eight slots, other files are still delivered."""
    partner.faults.add(Rule(operation="PutObject", key="stuck*", times=None, action=Stall(seconds=60)))
    async with open_pipeline(
        partner, tmp_path, retry=RetryConfig(initial=0.1, max=2.0), deadlines=QUICK, max_concurrency=8
    ) as pipeline:
        await drop_all(pipeline, [f"stuck{number}" for number in range(60)])
        await asyncio.sleep(2.0)
        for number in range(5):
            await drop_all(pipeline, [f"good{number}"])
            assert await until(lambda name=f"good{number}": has(partner, name)) < 4.0
            await asyncio.sleep(0.7)
