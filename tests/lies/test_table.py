"""Every error of the table at every call at which it can come, on the strict account, through the whole transfer.

Each error quotes the secrets of its request; ``overheard`` looks at every line that was said, and at the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from crosshaul.aws.conditional_writes import NEW
from crosshaul.aws.error_codes import _INVALID_REQUESTS, _KINDS, _NOT_IMPLEMENTED, _TRANSIENT_KMS_CODES
from crosshaul.errors import Fault, FaultKind
from crosshaul.model import Changed, ChecksumKind, Delivered, Record, State
from crosshaul.partner import (
    Close,
    Corrupt,
    Error,
    ErrorInBody,
    PartnerAccount,
    Reset,
    Rule,
    Stall,
    TruncatedResponse,
    WrongETag,
)
from crosshaul.partner.exchange import Exchange, FaultAction, Response
from crosshaul.partner.settings import document, statement
from support.fault_table import (
    ABORT,
    COMPLETE,
    CREATE,
    ELSEWHERE,
    GET,
    HEAD,
    ONLY_AT_GET,
    PART,
    PUT,
    S3,
    SENDING,
    STS,
    Outcome,
    Row,
)
from support.overheard import Indiscreet, check_lines, diagnoses, overheard
from support.pipeline import QUICK, Pipeline, open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")

SMALL = 3_000
ASKED_FOR = 300 * 1024
"""Bytes of a file about which HEAD is asked before it is sent."""
PATIENCE = 60.0


def of(outcome: Outcome, operation: str) -> list[Row]:
    return [row for row in S3 if row.outcome is outcome and operation in row.at]


def calls(outcome: Outcome) -> list[str]:
    return [operation for operation in SENDING if of(outcome, operation)]


def pipeline_of(partner: PartnerAccount, home: Path) -> AbstractAsyncContextManager[Pipeline]:
    """Open a pipeline in which large files have one part, to be quick."""
    return overheard(partner, home, multipart_threshold=ASKED_FOR)


async def drop(pipeline: Pipeline, name: str, operation: str) -> None:
    """Write a file with bytes of its own that is sent by this call."""
    threshold = pipeline.context.sizes.multipart_threshold
    size = SMALL if operation == PUT else ASKED_FOR if operation == "HeadObject" else threshold + 1
    with (pipeline.root / name).open("wb") as file:
        file.write(name.encode())
        file.truncate(size)
    await pipeline.admit(name)


async def arrives(pipeline: Pipeline, name: str) -> Record:
    record = await pipeline.comes_to(name, State.DELIVERED, timeout=PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while not any(
            path == name.encode() and isinstance(each, Delivered) for path, each in pipeline.observer.outcomes
        ):
            await asyncio.sleep(0.01)  # the journal has it first
    assert pipeline.account.read(name) == (pipeline.root / name).read_bytes()
    return record


def error(row: Row) -> Error:
    return Indiscreet(row.status, "" if row.code == str(row.status) else row.code, row.message)


def test_the_table_has_a_row_for_every_code_that_the_daemon_knows():
    """Each code of aws/error_codes.py is played here, or listed with the test that plays it."""
    known = {*_KINDS, *_NOT_IMPLEMENTED, *_INVALID_REQUESTS, *(f"KMS.{name}" for name in _TRANSIENT_KMS_CODES)}
    assert known - {row.code for row in S3} - set(ELSEWHERE) == set()


@pytest.mark.parametrize("operation", calls(Outcome.AGAIN))
async def test_a_passing_error_costs_another_try_and_no_file(operation: str, partner: PartnerAccount, tmp_path: Path):
    """After each such code all files arrive byte for byte, and the session is not suspected."""
    rows = of(Outcome.AGAIN, operation)
    async with pipeline_of(partner, tmp_path) as pipeline:
        for row in rows:
            partner.faults.add(Rule(operation=operation, key=row.code, action=error(row)))
            await drop(pipeline, row.code, operation)
        for row in rows:
            await arrives(pipeline, row.code)
        assert [rule.hits for rule in partner.faults.rules] == [1] * len(rows)
        assert pipeline.observer.parkings == pipeline.observer.surprises == []
    assert len(pipeline.calls("AssumeRole")) == 1


@pytest.mark.parametrize("operation", calls(Outcome.REFRESHES))
async def test_a_session_that_is_refused_costs_a_refresh_and_no_try(
    operation: str, partner: PartnerAccount, tmp_path: Path
):
    """When S3 refuses the session a new one is fetched, and the file is delivered with no attempt counted."""
    rows = of(Outcome.REFRESHES, operation)
    async with pipeline_of(partner, tmp_path) as pipeline:
        for number, row in enumerate(rows, 1):
            partner.faults.add(Rule(operation=operation, action=error(row)))
            pipeline.bucket._refresher._forced_at = float(
                "-inf"
            )  # more renewals are requested here than the refresher allows
            await drop(pipeline, row.code, operation)
            await arrives(pipeline, row.code)
            assert len(pipeline.calls("AssumeRole")) == number + 1, row
        assert [type(outcome) for _, outcome in pipeline.observer.outcomes] == [Delivered] * len(rows)


@pytest.mark.parametrize("operation", calls(Outcome.STARTS_OVER))
async def test_an_upload_that_can_t_be_finished_is_restarted(operation: str, partner: PartnerAccount, tmp_path: Path):
    """After each such code at a part or at Complete, a second upload delivers the file."""
    rows = of(Outcome.STARTS_OVER, operation)
    async with pipeline_of(partner, tmp_path) as pipeline:
        for row in rows:
            partner.faults.add(Rule(operation=operation, key=row.code, action=error(row)))
            await drop(pipeline, row.code, operation)
        for row in rows:
            await arrives(pipeline, row.code)
        begun = [call.key for call in pipeline.calls(CREATE)]
    assert [begun.count(row.code) for row in rows] == [2] * len(rows)


@pytest.mark.parametrize("operation", calls(Outcome.DOES_WITHOUT))
async def test_what_the_store_does_not_know_is_left_out(operation: str, partner: PartnerAccount, tmp_path: Path):
    """After each such code from an unknown store, the file arrives without the refused feature."""
    async with pipeline_of(partner, tmp_path) as pipeline:
        for number, row in enumerate(of(Outcome.DOES_WITHOUT, operation)):
            type(pipeline.context.negotiator).__init__(pipeline.context.negotiator)
            type(pipeline.context.conditions).__init__(pipeline.context.conditions)
            partner.faults.add(Rule(operation=operation, action=error(row)))
            await drop(pipeline, f"{number}", operation)
            await arrives(pipeline, f"{number}")
            negotiator = pipeline.context.negotiator
            without = pipeline.context.conditions.usable(NEW) is None
            assert operation == COMPLETE or without or negotiator.preferred is not ChecksumKind.CRC64NVME, row
        assert pipeline.observer.parkings == pipeline.observer.surprises == []


@pytest.mark.parametrize("operation", calls(Outcome.PARKS))
async def test_an_account_that_refuses_is_parked_and_comes_back(
    operation: str, partner: PartnerAccount, tmp_path: Path
):
    """Each such code parks the destination, no attempt is counted, and after its end the file arrives."""
    async with pipeline_of(partner, tmp_path) as pipeline:
        for row in of(Outcome.PARKS, operation):
            partner.faults.add(Rule(operation=operation, times=None, action=error(row)))
            await drop(pipeline, row.code, operation)
            await _parks(pipeline, row.code)
            record = await pipeline.record(row.code)
            assert (record.attempts, record.state == State.QUARANTINED) == (0, False), row
            partner.faults.clear()
            pipeline.transfer.probe_now()
            await arrives(pipeline, row.code)
        assert pipeline.observer.surprises == []


async def _parks(pipeline: Pipeline, code: str, hasten: Callable[[], None] = lambda: None) -> None:
    """Wait until the destination is parked with this code; ``hasten`` skips a back-off that has its own test."""
    async with asyncio.timeout(PATIENCE):
        while not pipeline.observer.parkings or pipeline.observer.parkings[-1].code != code:
            hasten()
            await asyncio.sleep(0.01)
    assert pipeline.observer.parkings[-1].kind is FaultKind.DESTINATION


@pytest.mark.parametrize("operation", calls(Outcome.SETS_ASIDE))
async def test_a_fault_of_the_file_sets_it_aside_with_its_reason(
    operation: str, partner: PartnerAccount, tmp_path: Path
):
    """Each such code quarantines the file with code and request id, and delays no other file."""
    rows = of(Outcome.SETS_ASIDE, operation)
    async with pipeline_of(partner, tmp_path) as pipeline:
        for row in rows:
            partner.faults.add(Rule(operation=operation, key=f"bad-{row.code}", action=error(row)))
            await drop(pipeline, f"bad-{row.code}", operation)
        await drop(pipeline, "good", operation)
        for row in rows:
            record = await pipeline.comes_to(f"bad-{row.code}", State.QUARANTINED, timeout=PATIENCE)
            assert record.diagnosis is not None
            assert (record.diagnosis.code, bool(record.diagnosis.request_id)) == (row.code, True)
        await arrives(pipeline, "good")
        assert pipeline.observer.parkings == []
    assert (pipeline.root / f"bad-{rows[0].code}").exists()


@pytest.mark.parametrize("status", HEAD)
async def test_head_that_can_t_say_never_costs_the_file(status: int, partner: PartnerAccount, tmp_path: Path):
    """Whatever HEAD returns for a large file, the file is delivered in the end."""
    async with overheard(partner, tmp_path) as pipeline:
        partner.faults.add(Rule(operation="HeadObject", action=Error(status, "Ignored", "HEAD has no body")))
        await drop(pipeline, "asked", "HeadObject")
        await arrives(pipeline, "asked")
        parked, tries = bool(pipeline.observer.parkings), len(pipeline.observer.outcomes)
    assert parked == (HEAD[status] is Outcome.PARKS)
    assert tries == (1 if HEAD[status] in {None, Outcome.REFRESHES} else 2)


class Touching(Error):
    """The file changes while a part is accepted."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    async def on_request(self, exchange: Exchange) -> None:
        """Append to the file, and let the call succeed."""
        with (self._root / exchange.target.key).open("ab") as file:
            file.write(b" and more")


async def test_an_abort_that_fails_masks_nothing(partner: PartnerAccount, tmp_path: Path):
    """If the abort for a changed file fails in any way, the file is read again with no attempt counted."""
    codes = {row.code: row for row in S3}
    async with pipeline_of(partner, tmp_path) as pipeline:
        partner.faults.add(Rule(operation=PART, times=len(codes), action=Touching(pipeline.root)))
        for row in codes.values():
            partner.faults.add(Rule(operation=ABORT, key=row.code, times=None, action=error(row)))
            await drop(pipeline, row.code, PART)
        async with asyncio.timeout(PATIENCE):
            while len(pipeline.observer.outcomes) < len(codes):
                await asyncio.sleep(0.02)
        assert {type(outcome) for _, outcome in pipeline.observer.outcomes} == {Changed}
        assert {call.key for call in pipeline.calls(ABORT) if call.fault} == set(codes)
        for code in codes:
            await pipeline.admit(code)
        for code in codes:
            assert (await arrives(pipeline, code)).attempts == 0
        assert pipeline.observer.parkings == pipeline.observer.refusals == pipeline.observer.surprises == []
    assert len(pipeline.calls("AssumeRole")) <= 2


async def test_every_error_of_get_is_reported(partner: PartnerAccount, tmp_path: Path):
    """GetObject fails with code and request id, after a refresh if that may help."""
    async with overheard(partner, tmp_path) as pipeline:
        await drop(pipeline, "there", PUT)
        await arrives(pipeline, "there")
        rows = [*{row.code: row for row in S3 if row.code not in {"200", "201", "204"}}.values()]
        for row in (*rows, *(Row(code, status, Outcome.AGAIN) for code, status in ONLY_AT_GET)):
            rule = partner.faults.add(Rule(operation=GET, times=None, action=error(row)))
            with pytest.raises(Fault) as caught:
                await pipeline.bucket.get_range("there", 0, 26)
            pipeline.observer.refusals.append(caught.value.diagnosis)
            assert (caught.value.diagnosis.code, caught.value.diagnosis.status) == (row.code, row.status)
            assert rule.hits == (2 if row.outcome is Outcome.REFRESHES else 1)
            partner.faults.clear()
        check_lines(pipeline)
        assert await pipeline.bucket.get_range("there", 0, 4) == b"there"


async def test_whatever_happens_to_the_connection_a_get_is_right_or_reported(partner: PartnerAccount, tmp_path: Path):
    """GetObject returns exactly the bytes or one fault; a partial or foreign body is never returned."""
    data = bytes(range(256)) * 800
    async with overheard(partner, tmp_path) as pipeline:
        (pipeline.root / "there").write_bytes(data)
        await pipeline.admit("there")
        await arrives(pipeline, "there")
        stored = partner.objects["there"]

        async def one(name: str, action: FaultAction) -> None:
            partner.objects[name] = stored
            partner.faults.add(Rule(operation=GET, key=name, action=action))
            try:
                assert await pipeline.bucket.get_range(name, 0, len(data) - 1) == data, name
            except Fault as fault:
                pipeline.observer.refusals.append(fault.diagnosis)
                output.add(name)

        output: set[str] = set()
        async with asyncio.TaskGroup() as group:
            for name, action in LIES.items():
                group.create_task(one(name, action))
        assert output >= {"half an answer", "200 with an error inside", "200 that proves nothing"}
        check_lines(pipeline)


async def test_more_than_the_range_is_refused(partner: PartnerAccount, tmp_path: Path):
    """If a store or proxy returns the whole object for a range, it is read only up to the range's length."""
    async with overheard(partner, tmp_path) as pipeline:
        (pipeline.root / "there").write_bytes(b"This is from cross account!" * 10_000)
        await pipeline.admit("there")
        await arrives(pipeline, "there")
        partner.faults.add(Rule(operation=GET, action=Whole()))
        with pytest.raises(Fault, match="not the requested range"):
            await pipeline.bucket.get_range("there", 0, 26)
        assert await pipeline.bucket.get_range("there", 0, 26) == b"This is from cross account!"


class Whole(FaultAction):
    """A response to a ranged GET that ignores the range."""

    async def on_response(self, exchange: Exchange, response: Response) -> Response:
        """Send all of the object."""
        assert response.source is not None
        stored = response.source[0]
        headers = {name: value for name, value in response.headers.items() if name != "Content-Range"}
        return replace(response, status=200, headers=headers, source=(stored, 0, stored.size))


async def test_every_error_of_sts_parks_and_passes(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """For each failure of AssumeRole no attempt is counted, the code is reported, and the file arrives afterwards."""
    async with pipeline_of(partner, tmp_path) as pipeline:
        refresher = pipeline.bucket._refresher
        monkeypatch.setattr(
            refresher._base_credentials, "forget", lambda: None
        )  # otherwise most of the time is spent on reading the SDK's models again
        for code, status in STS.items():
            while refresher._attempting or refresher._requested.is_set():
                await asyncio.sleep(0.01)
            partner.faults.add(Rule(operation="AssumeRole", times=None, action=error(Row(code, status, Outcome.PARKS))))
            refresher._session = None
            await drop(pipeline, code, PUT)
            await _parks(pipeline, code, refresher._requested.set)
            assert (await pipeline.record(code)).attempts == 0
            assert not [call for call in pipeline.calls(PUT) if call.key == code]
            partner.faults.clear()
            refresher._requested.set()
            pipeline.transfer.probe_now()
            await arrives(pipeline, code)
        assert pipeline.observer.surprises == []


LIES = {
    "reset before the body": Reset("before_body"),
    "reset in the body": Reset("mid_body"),
    "reset after the body": Reset("after_body"),
    "reset after the commit": Reset("after_commit"),
    "half an answer": TruncatedResponse(),
    "silence before 100-continue": Stall(3, "continue"),
    "silence while reading": Stall(3, "unread"),
    "silence in the head": Stall(3, "head"),
    "silence in the body": Stall(3, "body"),
    "damage on the way": Corrupt(),
    "damage in the store": Corrupt(seen=False),
    "another ETag": WrongETag(),
    "200 with an error inside": ErrorInBody(),
    "200 that proves nothing": Error(200, "", ""),
    "closed after the answer": Close(),
}
FOREIGN = {"x-request-id": "none of ours", "ETag": '"5f3-62a1c0de"'}


async def test_a_stranger_s_200_is_not_believed_where_the_store_is_known(partner: PartnerAccount, tmp_path: Path):
    """A response with an ETag but without the checksum that this store returns leads to another attempt."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await drop(pipeline, "first", PUT)
        await arrives(pipeline, "first")
        partner.faults.add(Rule(operation=PUT, action=Error(200, "", "", headers=FOREIGN)))
        await drop(pipeline, "second", PUT)
        await arrives(pipeline, "second")
        await drop(pipeline, "third", PUT)
        await arrives(pipeline, "third")
        assert pipeline.context.negotiator.confirmed is ChecksumKind.CRC64NVME


async def test_a_stranger_s_200_is_not_believed_before_the_store_is_known_either(
    partner: PartnerAccount, tmp_path: Path
):
    """If the first response proves nothing and HEAD does not find our token, the file is sent again."""
    async with overheard(partner, tmp_path) as pipeline:
        partner.faults.add(Rule(operation=PUT, action=Error(200, "", "", headers=FOREIGN)))
        await drop(pipeline, "first", PUT)
        await arrives(pipeline, "first")
        assert [said.code for said in pipeline.observer.parkings] == ["UnverifiedUpload"]
        assert pipeline.context.negotiator.confirmed is ChecksumKind.CRC64NVME


async def test_a_store_that_proves_nothing_is_asked(partner: PartnerAccount, tmp_path: Path):
    """On a store without checksums and with ETags that are no MD5, each file costs one HEAD and is delivered."""
    partner.change(checksums="ignored")
    partner.faults.add(Rule(operation=PUT, times=None, action=WrongETag("5f3-62a1c0de")))
    async with overheard(partner, tmp_path) as pipeline:
        for name in ("a", "b", "c", "d"):
            await drop(pipeline, name, PUT)
            await arrives(pipeline, name)
        assert (len(pipeline.calls(PUT)), len(pipeline.calls("HeadObject"))) == (4, 4)
        assert pipeline.observer.parkings == []


async def test_an_older_state_of_the_file_is_no_proof_of_the_new_one(partner: PartnerAccount, tmp_path: Path):
    """If the bucket holds an older state, HEAD shows another token, and the file is sent."""
    partner.change(checksums="ignored")
    async with overheard(partner, tmp_path) as pipeline:
        await drop(pipeline, "f", PUT)
        await arrives(pipeline, "f")
        partner.faults.add(Rule(operation=PUT, action=Error(200, "", "", headers=FOREIGN)))
        (pipeline.root / "f").write_bytes(b"n" * SMALL)
        await pipeline.admit("f")
        await _parks(pipeline, "UnverifiedUpload")
        await arrives(pipeline, "f")


async def test_a_store_that_says_kms_is_not_asked(partner: PartnerAccount, tmp_path: Path):
    """An ETag that is no MD5 because of KMS needs no HEAD."""
    (key,) = partner.settings.kms_keys
    partner.change(checksums="ignored", default_encryption=key, role_actions=("kms:GenerateDataKey", "kms:Decrypt"))
    async with overheard(partner, tmp_path) as pipeline:
        for name in ("a", "b", "c"):
            await drop(pipeline, name, PUT)
            await arrives(pipeline, name)
        assert pipeline.calls("HeadObject") == pipeline.observer.parkings == []


async def test_what_head_shows_is_held_against_the_bytes(partner: PartnerAccount, tmp_path: Path):
    """If HEAD finds our token on an object with another MD5, the file is sent again."""
    partner.change(checksums="ignored")
    partner.faults.add(Rule(operation=PUT, action=WrongETag("5f3-62a1c0de")))
    partner.faults.add(Rule(operation="HeadObject", action=WrongETag()))
    async with overheard(partner, tmp_path) as pipeline:
        await drop(pipeline, "f", PUT)
        await arrives(pipeline, "f")
        assert [said.code for said in diagnoses(pipeline)] == ["ChecksumMismatch"]


async def test_a_store_that_neither_proves_nor_may_be_asked_says_what_is_missing(
    partner: PartnerAccount, tmp_path: Path
):
    """Without s3:GetObject such a store parks the destination and names the right; with it the file arrives."""
    bucket = f"arn:aws:s3:::{partner.bucket}/*"
    partner.change(checksums="ignored", role_policy=document(statement(["s3:PutObject"], bucket)))
    partner.faults.add(Rule(operation=PUT, times=None, action=WrongETag("5f3-62a1c0de")))
    async with overheard(partner, tmp_path) as pipeline:
        await drop(pipeline, "f", PUT)
        await _parks(pipeline, "UnverifiedUpload")
        assert "s3:GetObject" in pipeline.observer.parkings[-1].advice
        partner.change(role_policy=None)
        pipeline.transfer.probe_now()
        assert (await arrives(pipeline, "f")).attempts == 0


@pytest.mark.parametrize("operation", ["AssumeRole", "HeadObject", CREATE])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_call_follows_a_redirect(operation: str, status: int, partner: PartnerAccount, tmp_path: Path):
    """No redirect makes the external ID or a session token go to another host; the file arrives."""
    received = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        moved = Error(status, "Moved", "elsewhere", headers={"Location": f"http://localhost:{port}/there"})
        partner.faults.add(Rule(operation=operation, action=moved))
        async with open_pipeline(partner, tmp_path) as pipeline:
            await drop(pipeline, "f", operation)
            await arrives(pipeline, "f")
    assert received == []


NOT_SEEN = {
    # A sender can't see damage after S3's check: docs/RELIABILITY.md, "not promised".
    (PUT, "damage in the store"), (PART, "damage in the store"), (COMPLETE, "damage in the store"),
}  # fmt: skip


@pytest.mark.parametrize("operation", [*SENDING, "HeadObject"])
async def test_whatever_happens_to_the_connection_the_file_arrives(
    operation: str, partner: PartnerAccount, tmp_path: Path
):
    """After two faults of the connection every file arrives byte for byte, and none is quarantined."""
    lies = {name: action for name, action in LIES.items() if (operation, name) not in NOT_SEEN}
    async with open_pipeline(partner, tmp_path, deadlines=QUICK) as pipeline:
        for number, action in enumerate(lies.values()):
            partner.faults.add(Rule(operation=operation, key=str(number), times=2, action=action))
            await drop(pipeline, str(number), operation)
        for number in range(len(lies)):
            await arrives(pipeline, str(number))
        assert pipeline.observer.surprises == []
