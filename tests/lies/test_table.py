"""Every error of the table at every call at which it can come, on the strict account, through the whole transfer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crosshaul.aws.codes import _KINDS
from crosshaul.errors import Kind
from crosshaul.model import ChecksumKind, Delivered, Record, State
from crosshaul.partner import (
    Close,
    Corrupt,
    Error,
    ErrorInside,
    HalfAnswer,
    PartnerAccount,
    Reset,
    Rule,
    Settings,
    Stall,
    WrongETag,
)
from fault_table import COMPLETE, CREATE, ELSEWHERE, HEAD, PART, PUT, S3, SENDING, STS, Outcome, Row
from lane import MIB, Lane, lane_to

pytestmark = pytest.mark.usefixtures("account_a")

SMALL, LARGE = 3_000, 6 * MIB + 1
ASKED_FOR = 300 * 1024
"""Bytes of a file about which HEAD is asked before it is sent."""
PATIENCE = 60.0


def of(outcome: Outcome, operation: str) -> list[Row]:
    return [row for row in S3 if row.outcome is outcome and operation in row.at]


def calls(outcome: Outcome) -> list[str]:
    return [operation for operation in SENDING if of(outcome, operation)]


async def drop(lane: Lane, name: str, operation: str) -> None:
    """A file that goes by this call; its bytes are its own."""
    size = SMALL if operation == PUT else ASKED_FOR if operation == "HeadObject" else LARGE
    with (lane.root / name).open("wb") as file:
        file.write(name.encode())
        file.truncate(size)
    await lane.admit(name)


async def arrives(lane: Lane, name: str) -> Record:
    record = await lane.comes_to(name, State.DELIVERED, timeout=PATIENCE)
    assert lane.account.read(name) == (lane.root / name).read_bytes()
    return record


def error(row: Row) -> Error:
    return Error(row.status, row.code, row.message)


def test_the_table_has_a_row_for_every_code_that_the_daemon_knows():
    """A code that is given a meaning in aws/codes.py must be played here, or be listed with the test that plays it."""
    assert set(_KINDS) - {row.code for row in S3} - set(ELSEWHERE) == set()


@pytest.mark.parametrize("operation", calls(Outcome.AGAIN))
async def test_a_passing_error_costs_another_try_and_no_file(operation: str, partner: PartnerAccount, tmp_path: Path):
    """Each such code strikes one file once: all files arrive, byte for byte, and the session is not doubted."""
    rows = of(Outcome.AGAIN, operation)
    async with lane_to(partner, tmp_path) as lane:
        for row in rows:
            partner.faults.add(Rule(operation=operation, key=row.code, action=error(row)))
            await drop(lane, row.code, operation)
        for row in rows:
            await arrives(lane, row.code)
        assert [rule.hits for rule in partner.faults.rules] == [1] * len(rows)
        assert lane.ear.parkings == lane.ear.surprises == []
    assert len(lane.calls("AssumeRole")) == 1


@pytest.mark.parametrize("operation", calls(Outcome.REFRESHES))
async def test_a_session_that_is_refused_costs_a_refresh_and_no_try(
    operation: str, partner: PartnerAccount, tmp_path: Path
):
    """S3 refuses the session: another one is had from STS, and the file is delivered at its first try."""
    for row in of(Outcome.REFRESHES, operation):
        home = tmp_path / row.code
        home.mkdir()
        before = len(partner.calls)  # the lanes before this one made them
        async with lane_to(partner, home) as lane:
            partner.faults.add(Rule(operation=operation, action=error(row)))
            await drop(lane, row.code, operation)
            await arrives(lane, row.code)
            assert [type(outcome) for _, outcome in lane.ear.outcomes] == [Delivered], row
        assert sum(call.operation == "AssumeRole" for call in list(partner.calls)[before:]) == 2, row


@pytest.mark.parametrize("operation", calls(Outcome.STARTS_OVER))
async def test_an_upload_that_can_t_be_finished_is_begun_anew(operation: str, partner: PartnerAccount, tmp_path: Path):
    """Each such code at a part or at the end: a second upload of the same file carries it."""
    rows = of(Outcome.STARTS_OVER, operation)
    async with lane_to(partner, tmp_path) as lane:
        for row in rows:
            partner.faults.add(Rule(operation=operation, key=row.code, action=error(row)))
            await drop(lane, row.code, operation)
        for row in rows:
            await arrives(lane, row.code)
        begun = [call.key for call in lane.calls(CREATE)]
    assert [begun.count(row.code) for row in rows] == [2] * len(rows)


@pytest.mark.parametrize("operation", calls(Outcome.PARKS))
async def test_an_account_that_refuses_is_parked_and_comes_back(
    operation: str, partner: PartnerAccount, tmp_path: Path
):
    """Each such code for a while: the destination parks with it, no try is counted, and at its end the file arrives."""
    async with lane_to(partner, tmp_path) as lane:
        for row in of(Outcome.PARKS, operation):
            partner.faults.add(Rule(operation=operation, times=None, action=error(row)))
            await drop(lane, row.code, operation)
            await _parks(lane, row.code)
            record = await lane.record(row.code)
            assert (record.attempts, record.state == State.QUARANTINED) == (0, False), row
            partner.faults.clear()
            lane.transfer.probe()
            await arrives(lane, row.code)
        assert lane.ear.surprises == []


async def _parks(lane: Lane, code: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not lane.ear.parkings or lane.ear.parkings[-1].code != code:
            await asyncio.sleep(0.01)
    said = lane.ear.parkings[-1]
    assert (said.kind, bool(said.request_id), "\n" in said.line()) == (Kind.DESTINATION, True, False)


@pytest.mark.parametrize("operation", calls(Outcome.SETS_ASIDE))
async def test_a_fault_of_the_file_sets_it_aside_with_its_reason(
    operation: str, partner: PartnerAccount, tmp_path: Path
):
    """Each such code: the file is quarantined with code and request id, and nobody else is held up."""
    rows = of(Outcome.SETS_ASIDE, operation)
    async with lane_to(partner, tmp_path) as lane:
        for row in rows:
            partner.faults.add(Rule(operation=operation, key=f"bad-{row.code}", action=error(row)))
            await drop(lane, f"bad-{row.code}", operation)
        await drop(lane, "good", operation)
        for row in rows:
            record = await lane.comes_to(f"bad-{row.code}", State.QUARANTINED, timeout=PATIENCE)
            assert record.diagnosis is not None
            assert (record.diagnosis.code, bool(record.diagnosis.request_id)) == (row.code, True)
        await arrives(lane, "good")
        assert lane.ear.parkings == []
    assert (lane.root / f"bad-{rows[0].code}").exists()


@pytest.mark.parametrize("status", HEAD)
async def test_head_that_can_t_say_never_costs_the_file(status: int, partner: PartnerAccount, tmp_path: Path):
    """HEAD asks whether a large file is there already; whatever it answers, the file is delivered in the end."""
    async with lane_to(partner, tmp_path) as lane:
        partner.faults.add(Rule(operation="HeadObject", action=Error(status, "Ignored", "HEAD has no body")))
        await drop(lane, "asked", "HeadObject")
        await arrives(lane, "asked")
        parked, tries = bool(lane.ear.parkings), len(lane.ear.outcomes)
    assert parked == (HEAD[status] is Outcome.PARKS)
    assert tries == (1 if HEAD[status] in {None, Outcome.REFRESHES} else 2)


async def test_every_error_of_sts_parks_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """AssumeRole fails in each way: no file is blamed, the code is told, and the file goes when STS is well again."""
    user = {"access_key_id": "AKIAABCDEFGHIJKLMNOP", "secret_access_key": "s" * 40}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", user["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", user["secret_access_key"])

    async def one(code: str, status: int) -> None:
        home = tmp_path / code
        home.mkdir()
        async with PartnerAccount(Settings(spool=home / "spool", **user)) as account:
            account.faults.add(Rule(operation="AssumeRole", times=None, action=Error(status, code, "what STS says")))
            async with lane_to(account, home) as lane:
                await drop(lane, "f", PUT)
                async with asyncio.timeout(PATIENCE):
                    while not lane.ear.parkings:
                        await asyncio.sleep(0.01)
                assert (lane.ear.parkings[0].code, (await lane.record("f")).attempts) == (code, 0)
                assert lane.calls(PUT) == []
                account.faults.clear()
                await arrives(lane, "f")

    async with asyncio.TaskGroup() as group:
        for code, status in STS.items():
            group.create_task(one(code, status))


LIES = {
    "reset before the body": Reset("before_body"),
    "reset in the body": Reset("mid_body"),
    "reset after the body": Reset("after_body"),
    "reset after the commit": Reset("after_commit"),
    "half an answer": HalfAnswer(),
    "silence before 100-continue": Stall(8, "continue"),
    "silence while reading": Stall(8, "unread"),
    "silence in the head": Stall(8, "head"),
    "silence in the body": Stall(8, "body"),
    "damage on the way": Corrupt(),
    "damage in the store": Corrupt(seen=False),
    "another ETag": WrongETag(),
    "200 with an error inside": ErrorInside(),
    "200 that proves nothing": Error(200, "", ""),
    "closed after the answer": Close(),
}
FOREIGN = {"x-request-id": "none of ours", "ETag": '"5f3-62a1c0de"'}


async def test_a_stranger_s_200_is_not_believed_where_the_store_is_known(partner: PartnerAccount, tmp_path: Path):
    """An answer with an ETag of its own, but without the checksum that this store echoes, is settled by another try."""
    async with lane_to(partner, tmp_path) as lane:
        await drop(lane, "first", PUT)
        await arrives(lane, "first")
        partner.faults.add(Rule(operation=PUT, action=Error(200, "", "", headers=FOREIGN)))
        await drop(lane, "second", PUT)
        await arrives(lane, "second")
        await drop(lane, "third", PUT)
        await arrives(lane, "third")
        assert lane.means.ladder.known is ChecksumKind.CRC64NVME


@pytest.mark.parametrize("operation", ["AssumeRole", "HeadObject", CREATE])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_call_follows_a_redirect(operation: str, status: int, partner: PartnerAccount, tmp_path: Path):
    """Whoever redirects gets neither the external ID nor a session token sent to another host; the file arrives."""
    heard = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        moved = Error(status, "Moved", "elsewhere", headers={"Location": f"http://localhost:{port}/there"})
        partner.faults.add(Rule(operation=operation, action=moved))
        async with lane_to(partner, tmp_path) as lane:
            await drop(lane, "f", operation)
            await arrives(lane, "f")
    assert heard == []


NOT_SEEN = {
    # What was damaged after S3 had checked it, no sender can see: docs/RELIABILITY.md, "not promised".
    (PUT, "damage in the store"), (PART, "damage in the store"), (COMPLETE, "damage in the store"),
}  # fmt: skip


@pytest.mark.parametrize("operation", [*SENDING, "HeadObject"])
async def test_whatever_happens_to_the_connection_the_file_arrives(
    operation: str, partner: PartnerAccount, tmp_path: Path
):
    """Each lie strikes one file's call twice: every file arrives, byte for byte, and none is set aside."""
    lies = {name: action for name, action in LIES.items() if (operation, name) not in NOT_SEEN}
    async with lane_to(partner, tmp_path) as lane:
        for number, action in enumerate(lies.values()):
            partner.faults.add(Rule(operation=operation, key=str(number), times=2, action=action))
            await drop(lane, str(number), operation)
        for number in range(len(lies)):
            await arrives(lane, str(number))
        assert lane.ear.surprises == []
