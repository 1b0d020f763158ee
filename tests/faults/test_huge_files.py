"""Files or parts that exceed the memory limit, and files that S3 can't store."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from crosshaul.delivery import multipart, part_body
from crosshaul.delivery.multipart import part_size
from crosshaul.files.source_file import SourceFile
from crosshaul.integrity.checksum import compute
from crosshaul.model import MAX_OBJECT_BYTES as LARGEST
from crosshaul.model import ChecksumKind, SettleReason, State
from crosshaul.partner import Close, Corrupt, Error, PartnerAccount, Reset, Rule, Settings
from crosshaul.partner.exchange import FaultAction
from support.partner_fixtures import Certificates
from support.pipeline import MIB, Pipeline, open_pipeline

pytestmark = pytest.mark.usefixtures("account_a")

BIG = os.urandom(12 * MIB + 7)
GIB = 1 << 30


@pytest.fixture
def large_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """``BIG`` has two parts, of 7 MiB, as if S3 took no more: with less memory they are what those of terabytes are."""
    monkeypatch.setattr(multipart, "_MAX_PARTS", 2)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the lengths of all reads of open files."""
    lengths: list[int] = []
    read = SourceFile.read

    def noted(self: SourceFile, offset: int, length: int, into: memoryview | None = None) -> bytes | memoryview:
        lengths.append(length)
        return read(self, offset, length, into)

    monkeypatch.setattr(SourceFile, "read", noted)
    return lengths


@pytest.mark.parametrize("checksums", ["honoured", "crc32 only", "ignored"])
@pytest.mark.usefixtures("large_parts")
async def test_parts_larger_than_memory_are_read_while_they_are_sent(
    checksums: str, reads: list[int], partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A part that exceeds the memory is held in pieces only, and the file is delivered with proof."""
    partner.change(checksums=checksums)
    async with open_pipeline(partner, tmp_path, memory=5 * MIB) as pipeline:
        most, acquire = 0, pipeline.context.memory.acquire

        async def noted(amount: int) -> None:
            nonlocal most
            await acquire(amount)
            most = max(most, pipeline.context.memory.used)

        monkeypatch.setattr(pipeline.context.memory, "acquire", noted)
        await pipeline.drop("big", BIG)
        record = await pipeline.comes_to("big", State.DELIVERED)
        assert record.receipt is not None
        assert (record.receipt.checksum is not None) == (checksums != "ignored")
        assert (max(reads), most) == (MIB, 2 * MIB)
        assert pipeline.context.memory.used == 0
    assert partner.read("big") == BIG


async def test_a_large_part_is_read_in_steps(partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No call of a thread reads a whole large part, so that a slow disk does not count as one that hangs."""
    most, step = 0, part_body._step

    def noted(source: SourceFile, span: range, *rest: object) -> None:
        nonlocal most
        most = max(most, len(span))
        step(source, span, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(part_body, "_STEP_BYTES", 2 * MIB)
    monkeypatch.setattr(part_body, "_step", noted)
    async with open_pipeline(partner, tmp_path) as pipeline:
        await pipeline.drop("big", BIG)
        record = await pipeline.comes_to("big", State.DELIVERED)
        assert record.receipt is not None
        assert record.receipt.checksum == compute(ChecksumKind.CRC64NVME, BIG)
    assert (partner.read("big"), most) == (BIG, 2 * MIB)


@pytest.mark.parametrize(
    "action",
    [Reset("mid_body"), Reset("after_commit"), Error(503, "SlowDown", "slow"), Corrupt(), Close()],
    ids=lambda action: action.kind,
)
@pytest.mark.usefixtures("large_parts")
async def test_a_part_that_is_streamed_is_sent_again(action: FaultAction, partner: PartnerAccount, tmp_path: Path):
    """After any fault the streamed part is read again from its beginning."""
    partner.faults.add(Rule(operation="UploadPart", part=2, times=2, action=action))
    async with open_pipeline(partner, tmp_path, memory=5 * MIB) as pipeline:
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("big", State.DELIVERED)
        assert pipeline.observer.surprises == []
    assert partner.read("big") == BIG


@pytest.mark.usefixtures("large_parts")
async def test_a_file_that_changes_while_a_part_is_streamed_goes_back(
    partner: PartnerAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If the second reading differs from the first, no attempt is counted and nothing is delivered."""
    read, count = SourceFile.read, 0

    def changing(self: SourceFile, offset: int, length: int, into: memoryview | None = None) -> bytes | memoryview:
        nonlocal count
        count += 1
        if count == 9:
            with (tmp_path / "root" / "big").open("r+b") as file:
                file.seek(3)
                file.write(b"changed")
        return read(self, offset, length, into)

    monkeypatch.setattr(SourceFile, "read", changing)
    partner.change(role_actions=("s3:AbortMultipartUpload",))
    async with open_pipeline(partner, tmp_path, memory=5 * MIB) as pipeline:
        await pipeline.drop("big", BIG)
        record = await pipeline.comes_to("big", State.CHANGED)
        assert (record.attempts, record.multipart) == (0, None)
    assert not partner.objects
    assert not partner.uploads


@pytest.mark.usefixtures("large_parts")
async def test_a_file_that_never_rests_is_streamed_as_well(partner: PartnerAccount, tmp_path: Path):
    """Streamed parts of a growing file are compared with their first reading."""
    async with open_pipeline(partner, tmp_path, memory=5 * MIB) as pipeline:
        (pipeline.root / "big").write_bytes(BIG)
        await pipeline.admit("big", SettleReason.CEILING)
        with (pipeline.root / "big").open("ab") as file:
            file.write(b"more")
        await pipeline.comes_to("big", State.DELIVERED)
    assert partner.read("big") == BIG


@pytest.mark.usefixtures("large_parts")
async def test_over_tls_parts_are_streamed_unsigned(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Over TLS the first reading only computes the checksum, and the second is sent unsigned."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    settings = Settings(tls_certificate=certificates.certificate, tls_key=certificates.key)
    async with PartnerAccount(settings) as account:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret_access_key)
        async with open_pipeline(account, tmp_path, memory=5 * MIB, tls_ca_bundle=certificates.authority) as pipeline:
            await pipeline.drop("big", BIG)
            await pipeline.comes_to("big", State.DELIVERED)
        assert account.read("big") == BIG


async def test_a_file_below_the_threshold_and_above_memory_goes_in_parts(
    reads: list[int], partner: PartnerAccount, tmp_path: Path
):
    """A `multipart_threshold` above the memory limit does not make a whole file be held in memory."""
    async with open_pipeline(partner, tmp_path, memory=6 * MIB, multipart_threshold=5 * GIB) as pipeline:
        await pipeline.drop("big", BIG)
        await pipeline.comes_to("big", State.DELIVERED)
        assert len(pipeline.calls("UploadPart")) == 3
        assert max(reads) == 5 * MIB
    assert partner.read("big") == BIG


@pytest.mark.parametrize(("size", "wanted"), [(15 << 40, 1611 * MIB), (LARGEST, 5 * GIB), (1 << 40, 105 * MIB)])
def test_no_part_is_larger_than_s3_takes(size: int, wanted: int):
    """For S3's largest object 10,000 parts of at most 5 GiB suffice."""
    parts = -(-size // part_size(size, 8 * MIB))
    assert parts <= 10_000
    assert part_size(size, 8 * MIB) <= min(5 * GIB, wanted)


async def test_what_s3_can_t_take_is_set_aside_before_a_byte_is_read(reads: list[int], partner: PartnerAccount):
    """A sparse file above 48.8 TiB is quarantined with both sizes and without an upload; others are delivered."""
    with TemporaryDirectory(dir="/dev/shm") as home:  # ext4 has no file of more than 16 TiB
        async with open_pipeline(partner, Path(home), known=ChecksumKind.CRC64NVME) as pipeline:
            await _too_large(pipeline, reads)


async def _too_large(pipeline: Pipeline, reads: list[int]) -> None:
    (pipeline.root / "sparse").touch()
    os.truncate(pipeline.root / "sparse", LARGEST + 1)
    await pipeline.admit("sparse")
    record = await pipeline.comes_to("sparse", State.QUARANTINED)
    assert record.diagnosis is not None
    assert record.diagnosis.code == "EntityTooLarge"
    for word in (
        "sparse",
        f"s3://{pipeline.account.bucket}/sparse",
        f"{LARGEST:,}",
        f"{LARGEST + 1:,}",
    ):
        assert word in record.diagnosis.line()
    assert pipeline.calls("CreateMultipartUpload") == reads == []
    await pipeline.drop("small", b"x")
    await pipeline.comes_to("small", State.DELIVERED)
