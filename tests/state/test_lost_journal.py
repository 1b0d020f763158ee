"""After the loss of the journal, existing objects are recognised by their token and not sent again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crosshaul.model import ChecksumKind, State
from crosshaul.partner import PartnerAccount
from crosshaul.partner.fault_rules import Rule
from crosshaul.partner.faults import Error
from support.pipeline import MIB, open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")

FILES = {"empty": b"", "small": b"x", "medium": b"m" * 300_000, "big": bytes(range(256)) * (11 * MIB // 256)}


async def delivered(partner: PartnerAccount, home: Path, **options: Any) -> None:
    async with open_pipeline(partner, home, **options) as pipeline:
        for name, data in FILES.items():
            await pipeline.drop(name, data)
            await pipeline.comes_to(name, State.DELIVERED)


async def test_an_empty_journal_sends_nothing_again_that_the_token_proves_to_be_there(
    partner: PartnerAccount, tmp_path: Path
):
    """Without the journal every file is delivered by a HEAD, and no object is written a second time."""
    await delivered(partner, tmp_path)
    shutil.rmtree(tmp_path / "state")
    partner.calls.clear()
    async with open_pipeline(partner, tmp_path) as pipeline:
        for name in FILES:
            await pipeline.admit(name)
        for name in FILES:
            record = await pipeline.comes_to(name, State.DELIVERED)
            assert record.receipt is not None
            assert record.receipt.proven_by == "head"
        assert {name: partner.objects[name].writes for name in FILES} == dict.fromkeys(FILES, 1)
        assert not pipeline.calls("UploadPart")
        assert (
            sum(call.size for call in pipeline.calls("PutObject")) < 100
        )  # a small body costs less than a HEAD for all


async def test_a_new_file_costs_one_request(partner: PartnerAccount, tmp_path: Path):
    """A file that was never sent costs one PutObject and no HEAD."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        for number in range(20):
            await pipeline.drop(f"f{number}", b"x")
            await pipeline.comes_to(f"f{number}", State.DELIVERED)
    assert len(pipeline.calls("PutObject")) == 20
    assert pipeline.calls("HeadObject") == []


async def test_an_older_state_and_a_strangers_object_are_replaced(partner: PartnerAccount, tmp_path: Path):
    """Only the token of this state counts: files that changed since the loss are sent, small and large."""
    await delivered(partner, tmp_path)
    shutil.rmtree(tmp_path / "state")
    async with open_pipeline(partner, tmp_path) as pipeline:
        for name, data in FILES.items():
            await pipeline.drop(name, data + b"more")
            await pipeline.comes_to(name, State.DELIVERED)
            assert partner.read(name) == data + b"more"


async def test_a_store_that_does_not_know_the_condition_is_asked_once(partner: PartnerAccount, tmp_path: Path):
    """A 501 to If-None-Match costs one request in total, no attempt of a file, and no checksum."""
    partner.faults.add(Rule(operation="PutObject", times=1, action=Error(501, "NotImplemented", "not here")))
    async with open_pipeline(partner, tmp_path) as pipeline:
        for number in range(5):
            await pipeline.drop(f"f{number}", b"x")
            assert (await pipeline.comes_to(f"f{number}", State.DELIVERED)).attempts == 0
        assert pipeline.context.negotiator.confirmed is ChecksumKind.CRC64NVME
    assert len(pipeline.calls("PutObject")) == 6


@pytest.mark.parametrize("overwrite", ["always", "never"])
async def test_other_bytes_under_our_token_are_not_taken_for_ours(
    overwrite: str, partner: PartnerAccount, tmp_path: Path
):
    """An object with our token and another ETag is no delivery: the file replaces it."""
    async with open_pipeline(partner, tmp_path) as pipeline:
        for name, data in {"a": b"bytes", "b": b"other"}.items():
            await pipeline.drop(name, data)
            await pipeline.comes_to(name, State.DELIVERED)
    other = partner.objects["b"]
    partner.objects["a"] = replace(partner.objects["a"], segments=other.segments, etag=other.etag)
    shutil.rmtree(tmp_path / "state")
    async with open_pipeline(partner, tmp_path, overwrite=overwrite) as pipeline:
        await pipeline.admit("a")
        await pipeline.comes_to("a", State.DELIVERED)
    assert partner.read("a") == b"bytes"
