"""Delivery when S3 or the network fails at each call: on the strict account, with real parts."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crosshaul.config import AfterUploadConfig, RetryConfig
from crosshaul.errors import FaultKind, StateDirError
from crosshaul.files import page_cache_read
from crosshaul.files.source_file import SourceFile
from crosshaul.model import Changed, ChecksumKind, Delivered, RetryLater, State
from crosshaul.partner import (
    Close,
    Corrupt,
    Delay,
    Error,
    ErrorInBody,
    PartnerAccount,
    Reset,
    Rule,
    Stall,
    TruncatedResponse,
    WrongETag,
)
from crosshaul.partner.exchange import Exchange, FaultAction
from support.pipeline import MIB, QUICK, Pipeline, open_pipeline

BIG = os.urandom(12 * MIB + 7)


pytestmark = pytest.mark.usefixtures("account_a")

TRANSIENT = {
    "SlowDown": Error(503, "SlowDown", "Reduce your request rate."),
    "InternalError": Error(500, "InternalError", "We encountered an internal error."),
    "InternalError after commit": Error(500, "InternalError", "We encountered an internal error.", when="after_commit"),
    "RequestTimeout": Error(400, "RequestTimeout", "Your socket connection was not read from."),
    "early error": Error(503, "SlowDown", "Reduce your request rate.", when="before_body"),
    "BadDigest": Error(400, "BadDigest", "The CRC64NVME you specified did not match."),
    "reset before the body": Reset("before_body"),
    "reset in the body": Reset("mid_body"),
    "reset after the body": Reset("after_body"),
    "lost answer": Reset("after_commit"),
    "half an answer": TruncatedResponse(),
    "corrupted on the way": Corrupt(),
    "closed after the answer": Close(),
}


@pytest.mark.parametrize("name", TRANSIENT)
async def test_a_small_file_gets_through_a_passing_fault(name: str, partner: PartnerAccount, tmp_path: Path):
    """After two faults of any kind at PutObject the file is delivered byte for byte, and not quarantined."""
    partner.faults.add(Rule(operation="PutObject", times=2, action=TRANSIENT[name]))
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("a.bin", b"x" * 70_000)
        await pipeline.comes_to("a.bin", State.DELIVERED)
    assert partner.read("a.bin") == b"x" * 70_000


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize("name", ["SlowDown", "InternalError after commit", "lost answer", "half an answer"])
async def test_a_multipart_upload_gets_through_a_passing_fault(
    name: str, operation: str, partner: PartnerAccount, tmp_path: Path
):
    """A fault at any of the three calls costs a retry and not the file."""
    partner.faults.add(Rule(operation=operation, times=1, action=TRANSIENT[name]))
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("big", BIG)
        record = await pipeline.comes_to("big", State.DELIVERED)
    assert partner.read("big") == BIG
    assert record.receipt is not None
    assert record.receipt.size == len(BIG)


async def test_a_lost_answer_is_settled_by_head_and_not_by_a_second_put(partner: PartnerAccount, tmp_path: Path):
    """After a lost response the object is recognised by its token, and not written again."""
    partner.faults.add(Rule(operation="PutObject", times=1, action=Reset("after_commit")))
    async with open_pipeline(partner, tmp_path) as pipeline:
        # The client repeats a request that broke on a kept connection; this is the first on a new one.
        await pipeline.drop("a", b"once")
        record = await pipeline.comes_to("a", State.DELIVERED)
    assert record.receipt is not None
    assert record.receipt.proven_by == "head"
    assert partner.objects["a"].writes == 1


async def test_an_object_under_the_key_that_is_not_ours_is_not_taken_for_ours(partner: PartnerAccount, tmp_path: Path):
    """If HEAD finds the token of an older state, the new state is sent."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("a", b"old")
        await pipeline.comes_to("a", State.DELIVERED)
        partner.faults.add(Rule(operation="PutObject", times=1, action=Reset("after_body")))
        await pipeline.drop("a", b"new!")
        await pipeline.comes_to("a", State.DELIVERED)
    assert partner.read("a") == b"new!"


async def test_complete_that_says_200_with_an_error_inside_is_not_a_delivery(partner: PartnerAccount, tmp_path: Path):
    """After a 200 with an error in its body the upload is completed again."""
    partner.faults.add(Rule(operation="CompleteMultipartUpload", times=1, action=ErrorInBody()))
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("big", State.DELIVERED)
        retries = [outcome for _, outcome in pipeline.observer.outcomes if isinstance(outcome, RetryLater)]
    assert len(retries) == 1
    assert partner.read("big") == BIG
    assert len(pipeline.calls("UploadPart")) == 3


@pytest.mark.parametrize(
    ("code", "status"), [("NoSuchUpload", 404), ("InvalidPart", 400), ("ConditionalRequestConflict", 409)]
)
async def test_an_upload_that_cannot_be_finished_is_started_over(
    code: str, status: int, partner: PartnerAccount, tmp_path: Path
):
    """If the store forgot an upload, all parts are sent to a new one."""
    partner.faults.add(Rule(operation="CompleteMultipartUpload", times=1, action=Error(status, code, "gone")))
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("big", State.DELIVERED)
    assert len(pipeline.calls("CreateMultipartUpload")) == 2
    assert partner.read("big") == BIG


async def test_a_part_that_fails_costs_no_other_part(partner: PartnerAccount, tmp_path: Path):
    """After a fault on part 2 of 3 only part 2 is sent again."""
    partner.faults.add(Rule(operation="UploadPart", part=2, times=1, action=TRANSIENT["InternalError"]))
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("big", State.DELIVERED)
    assert sorted(call.part for call in pipeline.calls("UploadPart")) == [1, 2, 2, 3]


async def test_a_stalled_connection_is_given_up_and_the_file_sent_again(partner: PartnerAccount, tmp_path: Path):
    """A peer that neither reads nor responds is given up at the progress deadline, and the file is sent again."""
    partner.faults.add(Rule(operation="PutObject", times=1, action=Stall(seconds=120)))
    async with open_pipeline(partner, tmp_path, deadlines=QUICK) as pipeline:
        await pipeline.drop("a", b"x" * 1000)
        await pipeline.comes_to("a", State.DELIVERED)
        await pipeline.drop("b", b"y")
        await pipeline.comes_to("b", State.DELIVERED)


async def test_a_store_that_holds_other_bytes_is_not_believed(partner: PartnerAccount, tmp_path: Path):
    """A response whose ETag or checksum differs from the bytes sent is no delivery."""
    partner.change(checksums="ignored")
    partner.faults.add(Rule(operation="PutObject", times=1, action=WrongETag()))
    async with open_pipeline(partner, tmp_path, known=ChecksumKind.MD5) as pipeline:
        await pipeline.drop("a", b"bytes")
        await pipeline.comes_to("a", State.DELIVERED)
        kinds = [outcome.diagnosis.kind for _, outcome in pipeline.observer.outcomes if isinstance(outcome, RetryLater)]
    assert kinds == [FaultKind.CORRUPT]


@pytest.mark.parametrize("quality", ["honoured", "crc32 only", "ignored"])
async def test_the_checksum_that_the_store_knows_is_found_without_extra_calls(
    quality: str, partner: PartnerAccount, tmp_path: Path
):
    """On each kind of store the best checksum (CRC64NVME, CRC32, MD5) is found without extra calls, and logged."""
    partner.change(checksums=quality)
    wanted = {"honoured": ChecksumKind.CRC64NVME, "crc32 only": ChecksumKind.CRC32, "ignored": ChecksumKind.MD5}
    async with open_pipeline(partner, tmp_path) as pipeline:
        for name, data in {"a": b"1", "b": b"2", "big": BIG, "c": b"3", "d": b""}.items():
            await pipeline.drop(name, data)
            await pipeline.comes_to(name, State.DELIVERED)
            assert partner.read(name) == data
        assert pipeline.context.negotiator.confirmed is wanted[quality]
    assert {call.key for call in pipeline.calls("HeadObject")} <= {"big"}  # one HEAD, because it is large


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
async def test_an_expired_session_is_no_failure_of_the_file(code: str, partner: PartnerAccount, tmp_path: Path):
    """An expired session costs one refresh and one more signature, and no attempt of the file."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("first", b"1")
        await pipeline.comes_to("first", State.DELIVERED)
        partner.revoke_sessions(code)
        for number in range(20):
            await pipeline.drop(f"f{number}", b"2")
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("big", State.DELIVERED)
        for number in range(20):
            await pipeline.comes_to(f"f{number}", State.DELIVERED)
        assert all(isinstance(outcome, Delivered) for _, outcome in pipeline.observer.outcomes)
    assert len(pipeline.calls("AssumeRole")) == 2


PARKING = {
    "AccessDenied": 403,
    "NoSuchBucket": 404,
    "RequestTimeTooSkewed": 403,
    "PermanentRedirect": 301,
    "KMS.DisabledException": 400,
    "AccessControlListNotSupported": 400,
    "InvalidAccessKeyId": 403,
    "AuthorizationHeaderMalformed": 400,
}


@pytest.mark.parametrize("code", PARKING)
async def test_a_fault_of_the_account_parks_the_destination_and_blames_no_file(
    code: str, partner: PartnerAccount, tmp_path: Path
):
    """While the account refuses, one file at a time is tried; then all are delivered with no attempt counted."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=Error(PARKING[code], code, "refused")))
    async with open_pipeline(partner, tmp_path) as pipeline:
        for number in range(10):
            await pipeline.drop(f"f{number}", b"x")
        async with asyncio.timeout(60):
            while not pipeline.observer.refusals:  # a canary was tried, too
                await asyncio.sleep(0.02)
        records = [await pipeline.record(f"f{number}") for number in range(10)]
        assert {record.state for record in records} <= {State.PENDING, State.UPLOADING}
        assert {record.attempts for record in records} == {0}
        assert [said.code for said in pipeline.observer.parkings] == [code]
        assert len(pipeline.calls("PutObject")) < 20
        partner.faults.clear()
        for number in range(10):
            await pipeline.comes_to(f"f{number}", State.DELIVERED)
        assert pipeline.observer.resumptions == 1


async def test_one_file_that_is_refused_while_others_get_through_is_that_files_own_fault(
    partner: PartnerAccount, tmp_path: Path
):
    """A key that the partner's policy denies parks the destination only briefly, and its attempts are counted."""
    partner.faults.add(
        Rule(operation="PutObject", key="poison", times=None, action=Error(403, "AccessDenied", "not this one"))
    )
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("poison", b"x")
        for number in range(60):
            await pipeline.drop(f"f{number}", b"x")
        for number in range(60):
            await pipeline.comes_to(f"f{number}", State.DELIVERED)
        assert (await pipeline.record("poison")).state in {State.PENDING, State.UPLOADING}


@pytest.mark.parametrize(
    ("code", "status"), [("KeyTooLongError", 400), ("EntityTooLarge", 400), ("MetadataTooLarge", 400)]
)
async def test_a_fault_of_the_file_quarantines_it_with_its_reason(
    code: str, status: int, partner: PartnerAccount, tmp_path: Path
):
    """A permanent fault of a file is not retried, and does not delay other files."""
    partner.faults.add(Rule(operation="PutObject", key="bad", action=Error(status, code, "too much")))
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("bad", b"x")
        await pipeline.drop("good", b"x")
        record = await pipeline.comes_to("bad", State.QUARANTINED)
        await pipeline.comes_to("good", State.DELIVERED)
    assert record.diagnosis is not None
    assert record.diagnosis.code == code
    assert record.diagnosis.request_id


async def test_quarantine_after_so_many_tries(partner: PartnerAccount, tmp_path: Path):
    """With quarantine_after: 3 the third failure that concerns the file quarantines it."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=TRANSIENT["BadDigest"]))
    async with open_pipeline(
        partner, tmp_path, retry=RetryConfig(initial=0.02, max=0.05, quarantine_after=3)
    ) as pipeline:
        await pipeline.drop("a", b"x")
        await pipeline.comes_to("a", State.QUARANTINED)
    assert len(pipeline.calls("PutObject")) == 3


async def test_throttling_slows_everyone_down_and_ends(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """SlowDown on a third of the calls lowers the limit, and all files arrive."""
    partner.faults.add(Rule(operation="PutObject", times=None, probability=0.3, action=TRANSIENT["SlowDown"]))
    async with open_pipeline(partner, tmp_path, max_concurrency=16) as pipeline:
        limits, pushed_back = [], pipeline.limit.pushed_back

        def noted(now: float) -> None:
            pushed_back(now)
            limits.append(pipeline.limit.limit)

        monkeypatch.setattr(pipeline.limit, "pushed_back", noted)
        for number in range(100):
            await pipeline.drop(f"f{number}", b"x")
        for number in range(100):
            await pipeline.comes_to(f"f{number}", State.DELIVERED)
    assert min(limits) <= 8


async def test_never_overwrite_leaves_a_strangers_object_alone(partner: PartnerAccount, tmp_path: Path):
    """A 412 to If-None-Match: * quarantines the file, both in one request and in parts."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("a", b"theirs")
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("a", State.DELIVERED)
        await pipeline.comes_to("big", State.DELIVERED)
    (tmp_path / "second").mkdir()
    async with open_pipeline(partner, tmp_path / "second", overwrite="never") as pipeline:
        await pipeline.drop("a", b"ours")
        await pipeline.drop("big", BIG[::-1])
        record = await pipeline.comes_to("a", State.QUARANTINED)
        await pipeline.comes_to("big", State.QUARANTINED)
    assert record.diagnosis is not None
    assert "overwrite: never" in record.diagnosis.line()
    assert partner.read("a") == b"theirs"
    assert partner.read("big") == BIG


async def test_never_overwrite_recognises_its_own_lost_put(partner: PartnerAccount, tmp_path: Path):
    """A 412 that our own PUT caused, whose response was lost, is a delivery."""
    partner.faults.add(Rule(operation="PutObject", times=1, action=Reset("after_commit")))
    partner.faults.add(Rule(operation="CompleteMultipartUpload", times=1, action=Reset("after_commit")))
    async with open_pipeline(partner, tmp_path, overwrite="never") as pipeline:
        await pipeline.drop("a", b"once")
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("a", State.DELIVERED)
        await pipeline.comes_to("big", State.DELIVERED)
    assert partner.objects["a"].writes == 1
    assert partner.objects["big"].writes == 1


async def test_a_file_that_changed_since_it_settled_is_not_sent(partner: PartnerAccount, tmp_path: Path):
    """A file that differs from its record has to settle again, without a request and without a counted attempt."""
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:
        await pipeline.drop("a", b"as it was")
        (pipeline.root / "a").write_bytes(b"as it is now")
        await pipeline.drop("gone", b"x")
        (pipeline.root / "gone").unlink()
        pipeline.start()
        async with asyncio.timeout(60):
            while len(pipeline.observer.outcomes) < 2:
                await asyncio.sleep(0.01)
        outcomes = dict(pipeline.observer.outcomes)
        assert (await pipeline.record("a")).state is State.CHANGED
        assert (await pipeline.record("gone")).state is State.CHANGED  # only discovery decides that it is gone
    assert outcomes == {b"a": Changed(), b"gone": Changed()}
    assert pipeline.calls("PutObject") == []


class _Rewriting(FaultAction):
    """While a part is sent, its file is written to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def on_request(self, exchange: Exchange) -> None:
        """Write, and let the call go well."""
        with self._path.open("r+b") as file:
            file.write(b"changed")


async def test_a_file_that_changes_between_its_parts_never_becomes_an_object(partner: PartnerAccount, tmp_path: Path):
    """A mixed state is not completed; the multipart upload is dropped."""
    async with open_pipeline(partner, tmp_path, memory=5 * MIB) as pipeline:
        partner.faults.add(Rule(operation="UploadPart", part=1, times=1, action=_Rewriting(pipeline.root / "big")))
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("big", State.CHANGED)
        assert pipeline.calls("UploadPart")
        assert "big" not in partner.objects
        await pipeline.admit("big")
        await pipeline.comes_to("big", State.DELIVERED)
    assert partner.read("big") == b"changed" + BIG[7:]


async def test_after_upload_is_due_only_with_the_receipt_and_after_the_grace(partner: PartnerAccount, tmp_path: Path):
    """The journal lists a source for deletion once it is delivered and its grace period is over."""
    after = AfterUploadConfig(action="delete", grace=60.0)
    async with open_pipeline(partner, tmp_path, after=after) as pipeline:
        await pipeline.drop("a", b"x")
        record = await pipeline.comes_to("a", State.DELIVERED)
        assert record.after_due_at is not None
        assert 0 < record.after_due_at - pipeline.context.clock.now() <= 60
        assert await pipeline.journal.due_after_tasks("r", 10) == []


async def test_attributes_arrive_with_the_object(partner: PartnerAccount, tmp_path: Path):
    """Small and large objects have the encryption, storage class, tags, metadata, type and time."""
    partner.change(role_actions=("s3:PutObjectTagging", "kms:GenerateDataKey", "kms:Decrypt"))
    key = partner.settings.kms_keys[0]
    more: dict[str, Any] = {
        "server_side_encryption": "aws:kms", "ssekms_key_id": key, "bucket_key_enabled": True,
        "storage_class": "STANDARD_IA", "tags": {"team": "data + co"}, "metadata": {"origin": "host-1"},
    }  # fmt: skip
    async with open_pipeline(partner, tmp_path, **more) as pipeline:
        (pipeline.root / "a.csv").write_bytes(b"x")
        os.utime(pipeline.root / "a.csv", ns=(0, 1_700_000_000_123_456_789))
        await pipeline.admit("a.csv")
        await pipeline.drop("b.csv", BIG)
        await pipeline.comes_to("a.csv", State.DELIVERED)
        await pipeline.comes_to("b.csv", State.DELIVERED)
    small, large = partner.objects["a.csv"], partner.objects["b.csv"]
    for stored in (small, large):
        described = str(stored)
        assert stored.metadata["origin"] == "host-1"
        assert stored.metadata["crosshaul-token"]
        assert stored.tags == {"team": "data + co"}
        assert "STANDARD_IA" in described
        assert key in described
        assert "text/csv" in described
    assert small.metadata["mtime"] == "1700000000.123456789"


async def test_a_loop_that_starts_again_takes_up_what_it_had_claimed(partner: PartnerAccount, tmp_path: Path):
    """A restarted transfer loop sends the files that a crashed one left uploading."""
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:
        await pipeline.drop("a", b"x")
        claims = await pipeline.journal.claim(["r"], 10)
        assert len(claims) == 1
        pipeline.start()
        await pipeline.comes_to("a", State.DELIVERED)


async def test_memory_is_bounded_by_the_budget(partner: PartnerAccount, tmp_path: Path):
    """With a budget of two parts at most two are in memory, and large and small files are delivered."""
    async with open_pipeline(partner, tmp_path, memory=10 * MIB) as pipeline:
        most = 0
        for name in ("one", "two", "three"):
            await pipeline.drop(name, BIG)
        await pipeline.drop("small", b"x")
        async with asyncio.timeout(60):
            while len(partner.objects) < 4:
                most = max(most, pipeline.context.memory.used)
                await asyncio.sleep(0.005)
    assert 0 < most <= 10 * MIB
    assert pipeline.context.memory.used == 0
    assert pipeline.context.slots.used == 0


async def test_stopping_puts_back_what_was_only_claimed(partner: PartnerAccount, tmp_path: Path):
    """After a stop no file is uploading: uploads in progress have finished, the other files are pending."""
    async with open_pipeline(partner, tmp_path, max_concurrency=2) as pipeline:
        for number in range(40):
            await pipeline.drop(f"f{number}", b"x")
        await asyncio.sleep(0.05)
        pipeline.stop.set()
        await pipeline.stopped()
        states = [(await pipeline.record(f"f{number}")).state for number in range(40)]
    assert set(states) <= {State.DELIVERED, State.PENDING}


@asynccontextmanager
async def pipeline_at_work(partner: PartnerAccount, home: Path, count: int) -> AsyncIterator[Pipeline]:
    """Start a pipeline that sends this many small files, four at a time, each slowly."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=Delay(0.3)))
    async with open_pipeline(partner, home, running=False, max_concurrency=4) as pipeline:
        for number in range(count):
            await pipeline.drop(f"f{number}", b"x")
        pipeline.start()
        async with asyncio.timeout(60):
            while not pipeline.context.slots.used:
                await asyncio.sleep(0.01)
        yield pipeline


async def test_what_was_only_claimed_goes_back_together(partner: PartnerAccount, tmp_path: Path):
    """A stop returns all claims that no worker has started in one or two commits."""
    async with pipeline_at_work(partner, tmp_path, 60) as pipeline:
        before = pipeline.journal.commits
        pipeline.stop.set()
        await pipeline.stopped()
        assert pipeline.journal.commits - before < 20
        states = [(await pipeline.record(f"f{number}")).state for number in range(60)]
    assert states.count(State.PENDING) > 40
    assert set(states) == {State.DELIVERED, State.PENDING}


async def test_a_journal_that_fails_is_one_complaint(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """When receipts can't be written the loop fails once, and no error of a task stays unretrieved."""
    unheard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unheard.append(context))
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:
        for number in range(30):
            await pipeline.drop(f"f{number}", b"x")

        loop, waiting = asyncio.get_running_loop(), list[asyncio.Future[State]]()

        def fail_all() -> None:
            for future in waiting:
                if not future.done():
                    future.set_exception(StateDirError("the disk is full"))

        async def disk_full(*_: object) -> asyncio.Future[State]:
            if not waiting:
                loop.call_later(0.3, fail_all)
            waiting.append(loop.create_future())
            return waiting[-1]

        with monkeypatch.context() as failing:
            failing.setattr(pipeline.journal, "submit_outcome", disk_full)
            with pytest.raises(ExceptionGroup):
                await pipeline.transfer.run(pipeline.stop)
        assert len(waiting) == 30
        waiting.clear()
        gc.collect()
        assert unheard == []
        pipeline.start()
        await pipeline.comes_to("f0", State.DELIVERED)


async def test_a_route_that_is_paused_sends_nothing_that_was_only_claimed(partner: PartnerAccount, tmp_path: Path):
    """The unstarted claims of a paused route are returned; its uploads in progress finish."""
    async with pipeline_at_work(partner, tmp_path, 12) as pipeline:
        pipeline.runtime.pause(["r"])

        async def states() -> Counter[State]:
            return Counter([(await pipeline.record(f"f{number}")).state for number in range(12)])

        async with asyncio.timeout(60):
            while (await states())[State.UPLOADING]:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        assert await states() == {State.DELIVERED: 4, State.PENDING: 8}
        pipeline.runtime.resume(["r"])
        for number in range(12):
            await pipeline.comes_to(f"f{number}", State.DELIVERED)


async def test_what_there_is_no_room_for_is_not_asked_for_again_and_again(partner: PartnerAccount, tmp_path: Path):
    """While large files fill all their places and more of them are due, the journal is not polled."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=Delay(2.0)))
    async with open_pipeline(partner, tmp_path, max_concurrency=1) as pipeline:
        for number in range(5):
            await pipeline.drop(f"f{number}", bytes(300_000))
        await asyncio.sleep(0.5)
        before = pipeline.journal.commits
        await asyncio.sleep(1.0)
        assert pipeline.journal.commits - before < 50


async def test_short_last_parts_take_no_more_than_they_hold(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Parts take exactly the memory that was reserved, whatever the length of the last part."""
    taken: list[int] = []
    async with open_pipeline(partner, tmp_path) as pipeline:
        take = pipeline.context.buffers.take

        def noted(length: int) -> Any:
            taken.append(length)
            return take(length)

        monkeypatch.setattr(pipeline.context.buffers, "take", noted)
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("big", State.DELIVERED)
    assert sum(taken) == len(BIG)
    assert pipeline.context.buffers._spare == []


async def test_a_parking_while_it_stops_leaves_no_worker_waiting(partner: PartnerAccount, tmp_path: Path):
    """Refusals that arrive while the loop drains do not prevent its end."""
    partner.faults.add(Rule(operation="PutObject", times=None, action=Error(403, "AccessDenied", "no")))
    for _ in range(5):
        async with open_pipeline(partner, tmp_path, running=False, max_concurrency=4) as pipeline:
            for number in range(12):
                await pipeline.drop(f"f{number}", b"x")
            running = asyncio.create_task(pipeline.transfer.run(pipeline.stop))
            while not pipeline.observer.sent:
                await asyncio.sleep(0)
            pipeline.stop.set()
            async with asyncio.timeout(60):
                await running


async def test_a_journal_that_fails_in_mid_upload_leaves_no_memory_taken(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Parts that were about to be sent when the loop failed release their memory."""
    async with open_pipeline(partner, tmp_path, running=False, memory=10 * MIB) as pipeline:
        await pipeline.drop("big", BIG)

        async def disk_full(*_: object) -> None:
            raise StateDirError("the disk is full")

        with monkeypatch.context() as failing:
            failing.setattr(pipeline.journal, "add_part", disk_full)
            with pytest.raises(ExceptionGroup):
                await pipeline.transfer.run(pipeline.stop)
        assert pipeline.context.memory.used == 0
        assert pipeline.context.slots.used == 0
        pipeline.start()
        await pipeline.comes_to("big", State.DELIVERED)
    assert partner.read("big") == BIG


async def test_an_error_that_nobody_thought_of_is_one_files_alone(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An unexpected error in one file is logged and the file is retried; the others are delivered."""
    unchanged = SourceFile.unchanged

    def stale(self: SourceFile) -> None:
        if self.path == b"odd":
            raise OSError(errno.ESTALE, "Stale file handle")
        unchanged(self)

    monkeypatch.setattr(SourceFile, "unchanged", stale)
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("odd", bytes(page_cache_read.MAX_BYTES + 1))
        for number in range(5):
            await pipeline.drop(f"f{number}", b"x")
            await pipeline.comes_to(f"f{number}", State.DELIVERED)
        monkeypatch.undo()
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        await pipeline.comes_to("odd", State.DELIVERED)
        assert pipeline.observer.surprises


async def test_what_was_claimed_under_another_plan_is_not_sent(partner: PartnerAccount, tmp_path: Path):
    """A claim from before a change of the configuration is returned unsent: discovery gives the file its new key."""
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:
        await pipeline.drop("a", b"x")
        pipeline.transfer.set_routes(pipeline.context.routes, ["r"], {"r": 7})
        pipeline.start()
        await asyncio.sleep(1.0)
        pipeline.stop.set()
        await pipeline.stopped()
        assert (await pipeline.record("a")).state is State.PENDING
    assert partner.objects == {}


async def test_a_large_file_with_a_control_character_in_its_name_arrives(partner: PartnerAccount, tmp_path: Path):
    """A large file is delivered although S3's responses contain its key in characters that XML parsers refuse."""
    name = "esc\x1b-bell\x07-unit\x1f"
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop(name, bytes(7 * MIB))
        await pipeline.comes_to(name, State.DELIVERED)
        assert pipeline.calls("CreateMultipartUpload")
    assert name in partner.objects


async def test_a_read_that_is_found_stuck_after_the_loop_failed_is_no_trouble(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Between a failed loop and its next run no worker is started for a stuck one."""
    async with open_pipeline(partner, tmp_path, running=False) as pipeline:

        async def fails(*_: object) -> None:
            raise StateDirError("the disk is full")

        monkeypatch.setattr(pipeline.transfer._dispatcher, "run", fails)
        with pytest.raises(BaseExceptionGroup):
            await pipeline.transfer.run(asyncio.Event())
        pipeline.transfer._workers.replace_stuck(False)
