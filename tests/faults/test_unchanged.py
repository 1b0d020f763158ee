"""A delivered file of which only the ctime changes is read again; it is sent only if its bytes differ."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from crosshaul.config import AfterUploadConfig
from crosshaul.delivery import existing_object
from crosshaul.files.source_file import SourceFile
from crosshaul.model import (
    Changed,
    Checksum,
    ChecksumKind,
    Delivered,
    Outcome,
    Receipt,
    RetryLater,
    SettleReason,
    State,
    Unchanged,
)
from crosshaul.partner import Error, PartnerAccount, Reset, Rule
from support.pipeline import MIB, Pipeline, open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")

SMALL, BIG = b"0123456789" * 50, b"0" + os.urandom(7 * MIB)
_BODIES = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")


def bodies(pipeline: Pipeline) -> int:
    """Return the calls that send bytes."""
    return sum(len(pipeline.calls(operation)) for operation in _BODIES)


def puts(pipeline: Pipeline) -> int:
    """Return the objects that were written in one request; conditions may have prevented others."""
    return sum(call.status == HTTPStatus.OK for call in pipeline.calls("PutObject"))


async def outcomes(pipeline: Pipeline) -> list[type[Outcome]]:
    """Return the outcomes since the last call; they are reported just after the journal has them."""
    async with asyncio.timeout(60):
        while not pipeline.observer.outcomes:
            await asyncio.sleep(0.01)
    output = [type(outcome) for _, outcome in pipeline.observer.outcomes]
    pipeline.observer.outcomes.clear()
    return output


async def delivered(pipeline: Pipeline, data: bytes = SMALL) -> None:
    """Deliver the file ``a``; the account's calls are counted from here."""
    await pipeline.drop("a", data)
    await pipeline.comes_to("a", State.DELIVERED)
    assert await outcomes(pipeline) == [Delivered]
    pipeline.account.calls.clear()


async def delivered_again(pipeline: Pipeline) -> None:
    """Admit and deliver the file as it is now."""
    await pipeline.admit("a")
    await pipeline.comes_to("a", State.DELIVERED)


def forge(path: Path, data: bytes) -> None:
    """Write other bytes in place, and restore the time, as `touch -r` and `rsync --inplace --times` do."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def another_link(path: Path) -> None:
    path.with_name("b").hardlink_to(path)


def another_name_and_back(path: Path) -> None:
    path.rename(path.with_name("b")).rename(path)


CHANGES: dict[str, Callable[[Path], None]] = {
    "chmod": lambda path: path.chmod(0o600),
    "hard link": another_link,
    "renamed and back": another_name_and_back,
    "xattr": lambda path: os.setxattr(path, "user.mark", b"1"),
}


@pytest.mark.parametrize("data", [b"", SMALL, bytes(300_000), BIG], ids=["empty", "small", "large", "parts"])
@pytest.mark.parametrize("change", CHANGES)
async def test_what_leaves_the_bytes_alone_sends_nothing(
    change: str, data: bytes, partner: PartnerAccount, tmp_path: Path
):
    """After chmod, link, rename or setxattr the record has the new state and the old receipt, and the source is due."""
    async with open_pipeline(partner, tmp_path, after=AfterUploadConfig(action="delete", grace=600.0)) as pipeline:
        await delivered(pipeline, data)
        before = await pipeline.record("a")
        CHANGES[change](pipeline.root / "a")
        await delivered_again(pipeline)
        after = await pipeline.record("a")
        assert (bodies(pipeline), after.receipt) == (0, before.receipt)
        assert (after.generation, after.fingerprint) != (before.generation, before.fingerprint)
        assert (after.after_due_at or 0) > (before.after_due_at or 0)
        assert await outcomes(pipeline) == [Unchanged]
        assert pipeline.context.slots.used == pipeline.context.memory.used == 0


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "parts"])
async def test_other_bytes_behind_the_old_time_are_sent(data: bytes, partner: PartnerAccount, tmp_path: Path):
    """With the same size and mtime and one other byte the file is sent once; a later chmod sends nothing."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await delivered(pipeline, data)
        forge(pipeline.root / "a", b"X")
        await delivered_again(pipeline)
        assert partner.read("a") == b"X" + data[1:]
        assert await outcomes(pipeline) == [Delivered]
        sent = bodies(pipeline)
        (pipeline.root / "a").chmod(0o600)
        await delivered_again(pipeline)
        assert bodies(pipeline) == sent


@pytest.mark.parametrize("seen", [True, False], ids=["HEAD tells", "the role may not HEAD"])
async def test_bytes_that_come_back_are_sent_after_others_were(seen: bool, partner: PartnerAccount, tmp_path: Path):
    """If other bytes were sent and the response was lost, the restored first bytes are sent again."""
    denied = Rule(operation="HeadObject", times=None, action=Error(403, "AccessDenied", "Denied."))
    async with open_pipeline(partner, tmp_path) as pipeline:
        await delivered(pipeline)
        forge(pipeline.root / "a", b"X")
        partner.faults.add(Rule(operation="PutObject", times=None, action=Reset("after_commit")))
        if not seen:
            partner.faults.add(denied)
        await pipeline.admit("a")
        async with asyncio.timeout(60):
            while partner.read("a") == SMALL:
                await asyncio.sleep(0.01)
        forge(pipeline.root / "a", SMALL)
        await pipeline.admit("a")
        partner.faults.clear()
        if not seen:
            partner.faults.add(denied)
        await pipeline.comes_to("a", State.DELIVERED)
    assert partner.read("a") == SMALL


@pytest.mark.parametrize("whose", ["another's object", "nobody's", "not to be seen"])
async def test_what_lies_under_the_key_decides(whose: str, partner: PartnerAccount, tmp_path: Path):
    """An object that is not the receipt's is replaced; a file whose object is missing or hidden is not sent again."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await delivered(pipeline)
        ours = partner.objects["a"]
        if whose == "another's object":
            partner.objects["a"] = replace(ours, etag="0" * 32, checksum=None)
        elif whose == "nobody's":
            del partner.objects["a"]
        else:
            denied = Error(403, "AccessDenied", "Denied.")
            partner.faults.add(Rule(operation="HeadObject", times=2, action=denied))
        (pipeline.root / "a").chmod(0o600)
        await delivered_again(pipeline)
        assert puts(pipeline) == (whose == "another's object")


@pytest.mark.parametrize("proof", [None, Checksum(ChecksumKind.CRC64NVME, "AAAAAAAAAAA=-2")])
async def test_a_receipt_without_a_checksum_of_the_whole_proves_nothing(
    proof: Checksum | None, partner: PartnerAccount, tmp_path: Path
):
    """Without a checksum of the whole object the file is sent again."""
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:
        await pipeline.drop("a", SMALL)
        (claim,) = await pipeline.journal.claim(["r"], 1)
        pipeline.start()
        await pipeline.journal.finish(claim, Delivered(Receipt("e" * 32, len(SMALL), 1.0, proof)))
        (pipeline.root / "a").chmod(0o600)
        await delivered_again(pipeline)
        assert puts(pipeline) == 1


async def test_a_file_that_never_rests_is_sent(partner: PartnerAccount, tmp_path: Path):
    """A file that is queued while it changes is sent, because it has no state that could be compared."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await delivered(pipeline)
        (pipeline.root / "a").chmod(0o600)
        await pipeline.admit("a", SettleReason.CEILING)
        await pipeline.comes_to("a", State.DELIVERED)
        assert puts(pipeline) == 1


async def test_a_change_while_it_is_read_is_no_proof(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A byte that is written during the reading makes the file settle again, and then it is sent."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await delivered(pipeline)
        (pipeline.root / "a").chmod(0o600)
        read = SourceFile.read

        def raced(self: SourceFile, *arguments: object) -> object:
            data = read(self, *arguments)  # type: ignore[arg-type]
            monkeypatch.setattr(SourceFile, "read", read)
            forge(pipeline.root / "a", b"X")
            return data

        monkeypatch.setattr(SourceFile, "read", raced)
        await pipeline.admit("a")
        await pipeline.comes_to("a", State.CHANGED)
        assert await outcomes(pipeline) == [Changed]
        await delivered_again(pipeline)
        assert partner.read("a") == b"X" + SMALL[1:]


async def test_a_directory_that_hangs_or_is_away_costs_no_receipt(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An unreadable file keeps its receipt, and is compared when it can be read."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await delivered(pipeline)
        (pipeline.root / "a").chmod(0o600)
        with monkeypatch.context() as away:
            unreadable = OSError(5, "Input/output error")
            away.setattr(existing_object, "open_claimed", lambda *_: (_ for _ in ()).throw(unreadable))
            await pipeline.admit("a")
            assert (await outcomes(pipeline))[0] is RetryLater
        await pipeline.comes_to("a", State.DELIVERED)
        assert bodies(pipeline) == 0
