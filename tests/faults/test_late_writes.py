"""Late writes and unexpected objects: an older state never replaces a newer one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from crosshaul.config import AfterUploadConfig
from crosshaul.model import Delivered, State
from crosshaul.partner import DelayedCommit, PartnerAccount, Reset, Rule
from crosshaul.partner.settings import document, statement
from support.pipeline import MIB, QUICK, Pipeline, open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")

LATE = 2.0
"""Seconds after which a front end passes a request on; the sender has given it up by then."""
SIZES = {"small": 1_000, "medium": 300_000, "parts": 7 * MIB}


async def late_one(pipeline: Pipeline) -> None:
    """Wait until the delayed request has been executed."""
    async with asyncio.timeout(60):
        while not any(call.fault == "delayed_commit" for call in pipeline.calls("PutObject")):
            await asyncio.sleep(0.02)


def held_back(partner: PartnerAccount) -> None:
    partner.faults.add(Rule(operation="PutObject", times=1, action=DelayedCommit(LATE)))


async def given_up(pipeline: Pipeline, name: str) -> None:
    """Wait until the delayed attempt was given up, and before the next one sends the same state."""
    before = len(pipeline.observer.outcomes)
    async with asyncio.timeout(60):
        while len(pipeline.observer.outcomes) == before:
            await asyncio.sleep(0.005)
    assert not isinstance(pipeline.observer.outcomes[-1][1], Delivered)


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("delivered_before", [False, True])
async def test_an_older_state_that_comes_late_replaces_nothing(
    delivered_before: bool, size: int, partner: PartnerAccount, tmp_path: Path
):
    """A PUT that a front end forwards after the next state has arrived fails by its condition."""
    async with open_pipeline(partner, tmp_path, deadlines=QUICK) as pipeline:
        if delivered_before:
            await pipeline.drop("a", bytes(size))
            await pipeline.comes_to("a", State.DELIVERED)
        held_back(partner)
        await pipeline.drop("a", b"o" * size)
        await given_up(pipeline, "a")
        await pipeline.drop("a", b"new" * size)
        await pipeline.comes_to("a", State.DELIVERED)
        assert partner.read("a") == b"new" * size
        await late_one(pipeline)
        assert partner.read("a") == b"new" * size


async def test_a_changed_file_costs_one_request(partner: PartnerAccount, tmp_path: Path):
    """Each later state is one PutObject with the previous ETag in If-Match; parts cost no more requests either."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        for name, size in SIZES.items():
            for state in range(3):
                await pipeline.drop(name, bytes([state]) * (size + state))
                await pipeline.comes_to(name, State.DELIVERED)
        assert len(pipeline.calls("PutObject")) == 6
        assert len(pipeline.calls("CompleteMultipartUpload")) == 3
        assert len(pipeline.calls("HeadObject")) == 2  # before the first state of each large one
    for name, size in SIZES.items():
        assert partner.read(name) == b"\2" * (size + 2)


@pytest.mark.parametrize("name", SIZES)
async def test_what_somebody_else_put_meanwhile_is_replaced_after_a_look(
    name: str, partner: PartnerAccount, tmp_path: Path
):
    """If another sender replaced the object, 412 and HEAD follow, and the file replaces that object; parts are kept."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop(name, bytes(SIZES[name]))
        await pipeline.comes_to(name, State.DELIVERED)
        await pipeline.drop("other", b"other")
        await pipeline.comes_to("other", State.DELIVERED)
        partner.objects[name] = partner.objects["other"]
        await pipeline.drop(name, b"n" * SIZES[name])
        await pipeline.comes_to(name, State.DELIVERED)
        assert partner.read(name) == b"n" * SIZES[name]
        if name == "parts":
            assert [len(pipeline.calls(each)) for each in ("UploadPart", "CompleteMultipartUpload")] == [4, 3]


@pytest.mark.parametrize("may_list", [False, True])
async def test_objects_that_the_partner_takes_away_cost_one_request_in_the_end(
    may_list: bool, partner: PartnerAccount, tmp_path: Path
):
    """If the partner deletes objects, If-Match fails once, and the next states are sent as new files."""
    if may_list:
        partner.change(role_actions=("s3:ListBucket",))
    async with open_pipeline(partner, tmp_path) as pipeline:
        for state in range(6):
            await pipeline.drop("report", bytes([state]))
            await pipeline.comes_to("report", State.DELIVERED)
            assert partner.read("report") == bytes([state])
            del partner.objects["report"]
        assert len(pipeline.calls("PutObject")) == 7
        # An object that stays is found by HEAD and replaced by its ETag.
        await pipeline.drop("report", b"stays")
        await pipeline.comes_to("report", State.DELIVERED)
        for state in range(3):
            await pipeline.drop("report", b"and on" + bytes([state]))
            await pipeline.comes_to("report", State.DELIVERED)
        assert len(pipeline.calls("PutObject")) == 7 + 1 + 3 + 1
        assert pipeline.calls("HeadObject") == []


@pytest.mark.parametrize("name", SIZES)
async def test_a_role_that_may_only_put_continues_as_ever(name: str, partner: PartnerAccount, tmp_path: Path):
    """If If-Match is denied for lack of s3:GetObject, files are sent without it, and nothing parks."""
    bucket = f"arn:aws:s3:::{partner.bucket}/*"
    partner.change(role_policy=document(statement(["s3:PutObject"], bucket)))
    async with open_pipeline(partner, tmp_path) as pipeline:
        for state in range(4):
            await pipeline.drop(name, bytes([state]) * SIZES[name])
            await pipeline.comes_to(name, State.DELIVERED)
            assert partner.read(name) == bytes([state]) * SIZES[name]
        assert pipeline.observer.parkings == []
        assert len(pipeline.calls("PutObject")) <= 6
        assert len(pipeline.calls("UploadPart")) in {0, 8}


@pytest.mark.parametrize("store", ["ignored", "ignored at complete", "refused"])
@pytest.mark.parametrize("name", SIZES)
async def test_stores_without_conditions_take_every_state(
    name: str, store: str, partner: PartnerAccount, tmp_path: Path
):
    """On a store that ignores or refuses If-Match each state arrives, and the destination is not parked."""
    partner.change(conditions=store)
    async with open_pipeline(partner, tmp_path) as pipeline:
        for state in range(4):
            await pipeline.drop(name, bytes([state]) * SIZES[name])
            await pipeline.comes_to(name, State.DELIVERED)
            assert partner.read(name) == bytes([state]) * SIZES[name]
        assert pipeline.observer.parkings == []
        assert len(pipeline.calls("PutObject")) <= 6  # each kind of condition is refused once


async def test_a_denied_key_is_still_a_denial(partner: PartnerAccount, tmp_path: Path):
    """An AccessDenied that the condition did not cause parks the destination with the upload's own code."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("a", b"1")
        await pipeline.comes_to("a", State.DELIVERED)
        bucket = f"arn:aws:s3:::{partner.bucket}/*"
        partner.change(role_policy=document(statement(["s3:GetObject"], bucket)))
        await pipeline.drop("a", b"2")
        async with asyncio.timeout(60):
            while not pipeline.observer.parkings:
                await asyncio.sleep(0.01)
        assert (pipeline.observer.parkings[0].code, pipeline.observer.parkings[0].operation) == (
            "AccessDenied",
            "PutObject",
        )
        partner.change(role_policy=None)
        pipeline.transfer.probe_now()
        await pipeline.comes_to("a", State.DELIVERED)
    assert partner.read("a") == b"2"


async def test_a_lost_answer_to_a_changed_file_is_recognised(partner: PartnerAccount, tmp_path: Path):
    """If the response to the second state was lost, HEAD shows that it arrived, and it is not sent again."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("a", b"1")
        await pipeline.comes_to("a", State.DELIVERED)
        partner.faults.add(Rule(operation="PutObject", times=1, action=Reset("after_commit")))
        await pipeline.drop("a", b"22")
        record = await pipeline.comes_to("a", State.DELIVERED)
        assert record.receipt is not None
        assert record.receipt.proven_by == "head"
        await pipeline.drop("a", b"333")
        await pipeline.comes_to("a", State.DELIVERED)
    assert partner.objects["a"].writes == 3


async def test_under_kms_an_etag_is_as_good(partner: PartnerAccount, tmp_path: Path):
    """With KMS, whose ETags are no MD5, each state costs one request."""
    (key,) = partner.settings.kms_keys
    partner.change(default_encryption=key, role_actions=("kms:GenerateDataKey", "kms:Decrypt"))
    async with open_pipeline(
        partner, tmp_path, after=AfterUploadConfig(action="delete", grace=3600.0), honoured=True
    ) as pipeline:
        for state in range(3):
            await pipeline.drop("a", os.urandom(100 + state))
            await pipeline.comes_to("a", State.DELIVERED)
        assert [len(pipeline.calls(each)) for each in ("PutObject", "HeadObject")] == [3, 0]
