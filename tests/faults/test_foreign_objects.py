"""Objects under a file's key that are not the file: respected, or replaced with a log line, on each kind of store."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from crosshaul.config import AfterUploadConfig
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.journal import requeue
from crosshaul.model import Record, State
from crosshaul.partner import Delay, PartnerAccount, Reset, Rule
from crosshaul.partner.exchange import Exchange
from crosshaul.partner.settings import document, statement
from support.pipeline import MIB, Pipeline, open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")

SIZES = {"empty": 0, "small": 1_000, "medium": 300_000, "parts": 7 * MIB}
STORES = ["honoured", "ignored", "ignored at complete", "refused"]
DELETE = AfterUploadConfig(action="delete", grace=3600.0)


async def put_by_another(partner: PartnerAccount, home: Path, source: str = "elsewhere") -> None:
    """Deliver files of other bytes under the same keys, as another host's daemon."""
    os.mkdir(home)  # noqa: PTH102 - nothing waits here
    async with open_pipeline(partner, home, source=source) as pipeline:
        for name, size in SIZES.items():
            await pipeline.drop(name, b"theirs" + bytes(size))
            await pipeline.comes_to(name, State.DELIVERED)
    partner.calls.clear()


def theirs(partner: PartnerAccount) -> bool:
    return all(partner.read(name) == b"theirs" + bytes(size) for name, size in SIZES.items())


async def ours(pipeline: Pipeline, state: State) -> dict[str, Record]:
    for name, size in SIZES.items():
        await pipeline.drop(name, bytes(size))
    return {name: await pipeline.comes_to(name, state) for name in SIZES}


def without_metadata(partner: PartnerAccount) -> None:
    """Put an object as rclone, aws s3 cp and others do."""
    for name, stored in partner.objects.items():
        plain = replace(stored.attributes, metadata={})
        partner.objects[name] = replace(stored, attributes=plain)


@pytest.mark.parametrize("whose", ["a daemon's", "a tool's"])
@pytest.mark.parametrize("store", STORES)
async def test_never_means_never_on_every_store(store: str, whose: str, partner: PartnerAccount, tmp_path: Path):
    """`overwrite: never` keeps each existing object on every store; the text names file, object and remedy."""
    await put_by_another(partner, tmp_path / "other")
    if whose == "a tool's":
        without_metadata(partner)
    partner.change(conditions=store, role_actions=("s3:AbortMultipartUpload",))
    async with open_pipeline(partner, tmp_path, overwrite="never") as pipeline:
        records = await ours(pipeline, State.QUARANTINED)
        for name, record in records.items():
            assert record.diagnosis is not None
            assert record.diagnosis.code == "PreconditionFailed"
            for word in (name, f"s3://{partner.bucket}/{name}", "overwrite: never", "crosshaul retry"):
                assert word in record.diagnosis.line()
            assert record.multipart is None
    assert theirs(partner)
    assert not partner.uploads
    assert not pipeline.calls("UploadPart")  # nothing large is sent without need


@pytest.mark.parametrize("store", STORES)
async def test_never_still_delivers_what_is_new(store: str, partner: PartnerAccount, tmp_path: Path):
    """Files with free keys are delivered on each kind of store; one that ignores conditions is detected and logged."""
    partner.change(conditions=store)
    async with open_pipeline(partner, tmp_path, overwrite="never") as pipeline:
        await ours(pipeline, State.DELIVERED)
        assert pipeline.observer.ignored == (1 if store == "ignored" else 0)
        before = len(pipeline.calls("HeadObject"))
        await pipeline.drop("more", b"more")
        await pipeline.comes_to("more", State.DELIVERED)
        asked = len(pipeline.calls("HeadObject")) - before
    assert asked == (0 if "honoured" in store or "complete" in store else 1)


async def test_whether_conditions_are_kept_is_found_out_once(partner: PartnerAccount, tmp_path: Path):
    """On a store with conditional writes one small file is sent three times, twice refused; others cost one request."""
    async with open_pipeline(partner, tmp_path, overwrite="never") as pipeline:
        for number in range(10):
            await pipeline.drop(f"f{number}", b"x")
            await pipeline.comes_to(f"f{number}", State.DELIVERED)
        assert [len(pipeline.calls(each)) for each in ("PutObject", "HeadObject")] == [12, 1]
    assert {stored.writes for stored in partner.objects.values()} == {1}


async def test_on_aws_never_costs_one_request(partner: PartnerAccount, tmp_path: Path):
    """Once the store is known to honour conditions, each small file costs one PUT and no HEAD."""
    async with open_pipeline(partner, tmp_path, overwrite="never", honoured=True) as pipeline:
        await pipeline.drop("f", b"x")
        await pipeline.comes_to("f", State.DELIVERED)
        assert [len(pipeline.calls(each)) for each in ("PutObject", "HeadObject")] == [1, 0]


class _PutMeanwhile(Delay):
    """Another sender puts an object under the key while a part is sent."""

    def __init__(self, partner: PartnerAccount) -> None:
        super().__init__(0.0)
        self._partner = partner

    async def on_request(self, exchange: Exchange) -> None:
        """Put the object."""
        self._partner.objects[exchange.target.key] = self._partner.objects["small"]


@pytest.mark.parametrize("store", STORES)
async def test_an_object_that_appears_while_parts_are_sent_is_seen(store: str, partner: PartnerAccount, tmp_path: Path):
    """An object that appears while a large file is sent is kept, and no upload stays open."""
    await put_by_another(partner, tmp_path / "other")
    del partner.objects["parts"]
    partner.change(conditions=store, role_actions=("s3:AbortMultipartUpload",))
    partner.faults.add(Rule(operation="UploadPart", action=_PutMeanwhile(partner)))
    async with open_pipeline(partner, tmp_path, overwrite="never") as pipeline:
        await pipeline.drop("parts", os.urandom(7 * MIB))
        record = await pipeline.comes_to("parts", State.QUARANTINED)
    assert record.multipart is None
    assert partner.objects["parts"] == partner.objects["small"]
    assert not partner.uploads


@pytest.mark.parametrize("store", STORES)
async def test_another_source_s_objects_are_not_replaced_by_files_that_would_then_be_deleted(
    store: str, partner: PartnerAccount, tmp_path: Path
):
    """With two hosts in one prefix and `delete` nothing is overwritten, and the text names owner and remedy."""
    await put_by_another(partner, tmp_path / "other")
    partner.change(conditions=store)
    async with open_pipeline(partner, tmp_path, after=DELETE) as pipeline:
        records = await ours(pipeline, State.QUARANTINED)
        for name, record in records.items():
            assert record.diagnosis is not None
            assert record.diagnosis.code == "KeyOfAnotherSource"
            for word in (name, f"s3://{partner.bucket}/{name}", "elsewhere", "here", "`source: elsewhere`"):
                assert word in record.diagnosis.line()
    assert theirs(partner)
    # A sender that replaces the other one has its source name, and gets its keys.
    async with open_pipeline(partner, tmp_path, after=DELETE, source="elsewhere") as pipeline:
        requeue(tmp_path / "state", None)
        pipeline.transfer.wake()
        for name, size in SIZES.items():
            await pipeline.comes_to(name, State.DELIVERED)
            assert partner.read(name) == bytes(size)


async def test_another_source_s_objects_are_replaced_and_reported_where_sources_are_kept(
    partner: PartnerAccount, tmp_path: Path
):
    """With `keep` and `overwrite: always` the route replaces the objects and logs the owner of each."""
    await put_by_another(partner, tmp_path / "other")
    async with open_pipeline(partner, tmp_path) as pipeline:
        await ours(pipeline, State.DELIVERED)
        assert sorted(pipeline.observer.overwritten) == sorted((name, "elsewhere") for name in SIZES)


async def test_what_other_tools_put_is_replaced_as_ever(partner: PartnerAccount, tmp_path: Path):
    """`overwrite: always` replaces an object without a token, also with `delete`."""
    await put_by_another(partner, tmp_path / "other")
    without_metadata(partner)
    async with open_pipeline(partner, tmp_path, after=DELETE) as pipeline:
        await ours(pipeline, State.DELIVERED)
        assert pipeline.observer.overwritten == []


async def test_our_own_older_state_is_no_other_source(partner: PartnerAccount, tmp_path: Path):
    """After the loss of the journal, objects with our source name are replaced by the changed files."""
    await put_by_another(partner, tmp_path / "other", source="here")
    async with open_pipeline(partner, tmp_path, after=DELETE) as pipeline:
        await ours(pipeline, State.DELIVERED)
        assert pipeline.observer.overwritten == []


async def test_a_role_that_may_not_look_delivers_as_ever(partner: PartnerAccount, tmp_path: Path):
    """Without s3:GetObject the owner of an object is unknown, and files are delivered without delay."""
    bucket = f"arn:aws:s3:::{partner.bucket}/*"
    await put_by_another(partner, tmp_path / "other")
    partner.change(role_policy=document(statement(["s3:PutObject"], bucket)))
    async with open_pipeline(partner, tmp_path, after=DELETE) as pipeline:
        await ours(pipeline, State.DELIVERED)


async def test_never_claims_nothing_of_an_object_that_the_role_may_not_look_at(partner: PartnerAccount, tmp_path: Path):
    """The text about an unreadable object says what is known, and asks for s3:GetObject."""
    bucket = f"arn:aws:s3:::{partner.bucket}/*"
    partner.change(role_policy=document(statement(["s3:PutObject"], bucket)))
    async with open_pipeline(partner, tmp_path, overwrite="never", honoured=True) as pipeline:
        partner.faults.add(Rule(operation="PutObject", action=Reset("after_commit"), times=1))
        await pipeline.drop("small", bytes(1_000))
        record = await pipeline.comes_to("small", State.QUARANTINED)
        assert record.diagnosis is not None
        assert record.diagnosis.status == 412
        assert "the role may not read it" in record.diagnosis.line()
        assert "s3:GetObject" in record.diagnosis.line()
        assert "is not this file" not in record.diagnosis.line()
    assert partner.objects["small"].writes == 1


@pytest.mark.parametrize("name", ["small", "medium"])
@pytest.mark.parametrize("checksums", ["honoured", "ignored"])
async def test_a_lost_answer_is_not_believed_against_the_bytes(
    checksums: str, name: str, partner: PartnerAccount, tmp_path: Path
):
    """If HEAD shows our token on damaged bytes after a lost response, the file is sent again."""
    partner.change(checksums=checksums)
    partner.faults.add(Rule(operation="PutObject", action=_Garbled(partner)))
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop(name, b"a" * SIZES[name])
        record = await pipeline.comes_to(name, State.DELIVERED)
        assert record.receipt is not None
        assert record.receipt.proven_by == "answer"
    assert partner.read(name) == b"a" * SIZES[name]
    assert partner.objects[name].writes == 2


class _Garbled(Reset):
    """Loses the response of a call that took effect; the stored bytes differ, as the store's checksums show."""

    def __init__(self, partner: PartnerAccount) -> None:
        super().__init__("after_commit")
        self._partner = partner

    async def on_response(self, exchange: Exchange, response):
        """Replace the stored bytes."""
        from crosshaul.partner.checksums import ALGORITHMS, text

        stored = self._partner.objects[exchange.target.key]
        checksum = None
        if stored.checksum:
            running = ALGORITHMS["crc64nvme"].start()
            running.update(b"other bytes")
            checksum = replace(stored.checksum, value=text(running.digest()))
        self._partner.objects[exchange.target.key] = replace(stored, etag="f" * 32, checksum=checksum)
        return await super().on_response(exchange, response)


@pytest.mark.parametrize("overwrite", ["always", "never"])
async def test_our_own_damaged_object_is_sent_again_after_a_lost_journal(
    overwrite: str, partner: PartnerAccount, tmp_path: Path
):
    """An object with our token and other bytes is replaced by the file, with either `overwrite`."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await ours(pipeline, State.DELIVERED)
    for name in ("small", "medium"):
        stored = partner.objects[name]
        partner.objects[name] = replace(stored, etag="f" * 32, checksum=None)
    shutil.rmtree(tmp_path / "state")
    async with open_pipeline(partner, tmp_path, overwrite=overwrite) as pipeline:
        for name in SIZES:
            await pipeline.admit(name)
            record = await pipeline.comes_to(name, State.DELIVERED)
            assert record.receipt is not None
            assert (record.receipt.proven_by == "answer") == (name in {"small", "medium"})
    assert {partner.objects[name].writes for name in ("small", "medium")} == {2}


@pytest.mark.parametrize(("output", "writes"), [("the same", 1), ("another", 2), ("nothing", 2)])
async def test_a_large_file_that_goes_again_is_not_taken_to_be_there(
    output: str, writes: int, partner: PartnerAccount, tmp_path: Path
):
    """An existing object counts as the file only if its checksum proves the file's present bytes."""
    async with open_pipeline(partner, tmp_path, overwrite="never", after=DELETE, honoured=True) as pipeline:
        await pipeline.drop("parts", bytes(SIZES["parts"]))
        await pipeline.comes_to("parts", State.DELIVERED)
        stored = partner.objects["parts"]
        assert stored.checksum is not None
        checksums = {"the same": stored.checksum, "another": replace(stored.checksum, value="AAAAAAAAAAA=")}
        partner.objects["parts"] = replace(stored, checksum=checksums.get(output))
        (task,) = await pipeline.journal.due_after_tasks("r", 1, by=1e12)
        await pipeline.journal.send_again(task, Diagnosis(FaultKind.FILE, "ContentChanged", "other bytes"), 0.0)
        await pipeline.comes_to("parts", State.DELIVERED)
    assert partner.objects["parts"].writes == writes


@pytest.mark.parametrize("overwrite", ["always", "never"])
async def test_equal_bytes_under_a_key_that_is_their_hash_are_the_file(
    overwrite: str, partner: PartnerAccount, tmp_path: Path
):
    """With {sha256} in the template an object of the same size and checksum is a delivery, from any sender."""
    partner_s = tmp_path / "other"
    partner_s.mkdir()
    async with open_pipeline(partner, partner_s, source="elsewhere") as pipeline:
        await ours(pipeline, State.DELIVERED)
    async with open_pipeline(partner, tmp_path, overwrite=overwrite, after=DELETE, key="{name}-{sha256}") as pipeline:
        for name, record in (await ours(pipeline, State.DELIVERED)).items():
            assert record.receipt is not None, name
            assert record.receipt.proven_by == "head"
    assert {stored.writes for stored in partner.objects.values()} == {1}


async def test_many_files_at_once_find_it_out_together(partner: PartnerAccount, tmp_path: Path):
    """On an unknown store files that are sent at the same time all arrive, and one of them is sent three times."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=Delay(0.05)))
    async with open_pipeline(partner, tmp_path, overwrite="never") as pipeline:
        await asyncio.gather(*(pipeline.drop(f"f{number}", b"x") for number in range(20)))
        for number in range(20):
            await pipeline.comes_to(f"f{number}", State.DELIVERED)
        assert len(pipeline.calls("PutObject")) == 22
