"""Files that never settle: an appended file is delivered as of one moment, a rewritten one is logged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crosshaul.model import SettleReason, State
from crosshaul.partner import Delay, Error, PartnerAccount, Rule
from support.pipeline import MIB, Pipeline, open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")

SIZES = {"small": 2_000, "medium": 400_000, "parts": 12 * MIB}
LINE = b"%011d\n"


@asynccontextmanager
async def written_to(path: Path, offset: int | None) -> AsyncIterator[None]:
    """Write lines during the block, at the end or repeatedly at an offset."""

    async def write() -> None:
        with path.open("r+b", 0) as file:
            for number in range(1_000_000):
                file.seek(0, os.SEEK_END) if offset is None else file.seek(offset)
                file.write(LINE % number)
                await asyncio.sleep(0.002)

    task = asyncio.create_task(write())
    try:
        await asyncio.sleep(0.02)
        yield
    finally:
        task.cancel()


def begin(pipeline: Pipeline, name: str) -> Path:
    path = pipeline.root / name
    path.write_bytes(os.urandom(SIZES[name]))
    return path


@pytest.mark.parametrize("name", SIZES)
async def test_what_is_appended_to_for_ever_arrives_as_it_was_at_one_moment(
    name: str, partner: PartnerAccount, tmp_path: Path
):
    """The object is the beginning of the file, with the size at the time of queueing, however slow the upload."""
    partner.faults.add(Rule(operation="UploadPart", times=None, action=Delay(0.1)))
    async with open_pipeline(partner, tmp_path) as pipeline:
        path = begin(pipeline, name)
        async with written_to(path, None):
            await pipeline.admit(name, SettleReason.CEILING)
            record = await pipeline.comes_to(name, State.DELIVERED)
            grown = path.read_bytes()
        assert record.receipt is not None
        assert record.receipt.size == record.fingerprint.size
        assert len(grown) > record.fingerprint.size >= SIZES[name]
        assert partner.read(name) == grown[: record.fingerprint.size]
        assert not pipeline.calls("AbortMultipartUpload")
        # A later, longer state replaces it.
        async with written_to(path, None):
            await pipeline.admit(name, SettleReason.CEILING)
            later = await pipeline.comes_to(name, State.DELIVERED)
        assert partner.read(name) == path.read_bytes()[: later.fingerprint.size]
        assert later.fingerprint.size > record.fingerprint.size


async def test_parts_of_an_interrupted_upload_count_only_if_they_are_in_the_file_still(
    partner: PartnerAccount, tmp_path: Path
):
    """After a fault only the parts whose bytes were rewritten are sent again."""
    partner.faults.add(Rule(operation="CompleteMultipartUpload", times=None, action=Error(503, "SlowDown", "slow")))
    async with open_pipeline(partner, tmp_path) as pipeline:
        path = begin(pipeline, "parts")
        await pipeline.admit("parts", SettleReason.CEILING)
        async with asyncio.timeout(60):
            while not pipeline.calls("CompleteMultipartUpload"):
                await asyncio.sleep(0.01)
        with path.open("r+b") as file:
            file.write(b"rewritten")
        partner.faults.clear()
        record = await pipeline.comes_to("parts", State.DELIVERED)
        assert partner.read("parts") == path.read_bytes()[: record.fingerprint.size]
        assert sorted(call.part for call in pipeline.calls("UploadPart")) == [1, 1, 2, 3]


@pytest.mark.parametrize("name", SIZES)
async def test_what_is_rewritten_for_ever_is_reported_and_not_sent_over_and_over(
    name: str, partner: PartnerAccount, tmp_path: Path
):
    """No mixed state is delivered, the file is logged, and further attempts are delayed."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        path = begin(pipeline, name)
        partner.faults.add(Rule(operation="UploadPart", times=None, action=Delay(0.1)))
        async with written_to(path, SIZES[name] - len(LINE) - 7):
            for _ in range(5):
                await pipeline.admit(name, SettleReason.CEILING)
                async with asyncio.timeout(60):
                    while (await pipeline.record(name)).state not in {State.CHANGED, State.DELIVERED}:
                        await asyncio.sleep(0.01)
        if name == "parts":
            assert pipeline.observer.restless == [1]
            assert len(pipeline.calls("CreateMultipartUpload")) <= 1
            assert pipeline.calls("CompleteMultipartUpload") == []
        elif name in partner.objects:
            assert len(partner.read(name)) == SIZES[name]
    # Once it has settled it is sent like any other.
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.admit(name)
        await pipeline.comes_to(name, State.DELIVERED)
        assert partner.read(name) == path.read_bytes()


async def test_what_became_shorter_is_another_state(partner: PartnerAccount, tmp_path: Path):
    """A truncated log (copytruncate) is not sent with its old size."""
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:
        path = begin(pipeline, "parts")
        await pipeline.admit("parts", SettleReason.CEILING)
        os.truncate(path, 100)
        pipeline.start()
        await pipeline.comes_to("parts", State.CHANGED)
    assert partner.objects == {}
