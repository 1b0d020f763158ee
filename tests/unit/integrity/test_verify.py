"""The checksums that were sent are compared with what S3 returned."""

from __future__ import annotations

import pytest

from crosshaul.errors import Fault, FaultKind
from crosshaul.integrity.checksum import compute, md5_hex
from crosshaul.integrity.verify import HeadResult, UploadResult, proves_storage, token_of, verify_upload
from crosshaul.model import ChecksumKind, Claim, Fingerprint

CRC64, CRC32, MD5 = ChecksumKind.CRC64NVME, ChecksumKind.CRC32, ChecksumKind.MD5
SENT = (compute(CRC64, b"bytes"), compute(MD5, b"bytes"))
OTHER = (compute(CRC64, b"others"), compute(MD5, b"others"))
CLAIM = Claim(1, 1, "exports", "partner", b"a/b", Fingerprint(5, 1, 2, 3), "in/a/b")


@pytest.mark.parametrize(
    "result",
    [
        UploadResult(md5_hex(SENT[1]), SENT[0]),
        UploadResult(md5_hex(SENT[1])),
        UploadResult(""),
        UploadResult(f"{md5_hex(OTHER[1])}-3"),
        UploadResult(md5_hex(OTHER[1]), encrypted_by_kms=True),
        UploadResult(md5_hex(OTHER[1]), SENT[0]),
        UploadResult(md5_hex(SENT[1]), compute(CRC32, b"others")),
    ],
    ids=["all", "only MD5", "nothing", "of parts", "KMS", "no MD5 but a checksum", "a checksum nobody sent"],
)
def test_results_that_contradict_nothing(result):
    """An ETag that need not be an MD5, or a checksum that was not sent, contradicts nothing."""
    verify_upload("PutObject", SENT, result)


@pytest.mark.parametrize(
    "result",
    [
        UploadResult(md5_hex(SENT[1]), OTHER[0]),
        UploadResult(md5_hex(OTHER[1])),
        UploadResult(md5_hex(OTHER[1]), OTHER[0]),
    ],
    ids=["checksum", "MD5", "both"],
)
def test_results_that_contradict(result):
    """A checksum of other bytes, or without a checksum an ETag of other bytes, is a CORRUPT fault."""
    with pytest.raises(Fault, match="other bytes than were sent") as caught:
        verify_upload("UploadPart", SENT, result)
    assert caught.value.kind is FaultKind.CORRUPT
    assert caught.value.diagnosis.operation == "UploadPart"


def test_a_result_without_the_confirmed_checksum_is_a_fault():
    """If only a checksum was sent, an ETag alone proves nothing: the response may not come from the store."""
    with pytest.raises(Fault) as caught:
        verify_upload("PutObject", SENT[:1], UploadResult(md5_hex(OTHER[1])))
    assert (caught.value.kind, caught.value.diagnosis.ambiguous) == (FaultKind.NETWORK, True)


@pytest.mark.parametrize(
    ("result", "proven"),
    [
        (UploadResult("5f3-62a1c0de", SENT[0]), True),
        (UploadResult(md5_hex(SENT[1])), True),
        (UploadResult("5f3-62a1c0de", encrypted_by_kms=True), True),
        (UploadResult("5f3-62a1c0de"), False),
        (UploadResult("5f3-62a1c0de", compute(CRC32, b"bytes")), False),
    ],
    ids=["a checksum", "an MD5", "KMS", "neither", "a checksum nobody sent"],
)
def test_proofs_that_only_a_store_can_give(result, proven):
    """A value computed from the bytes proves storage, and so do AWS's KMS headers; an arbitrary ETag does not."""
    verify_upload("PutObject", SENT, result)
    assert proves_storage(SENT, result) is proven


def test_a_token_identifies_one_state_of_one_file_under_one_key():
    """A different time, size, path or key gives a different token."""
    others = (
        CLAIM._replace(fingerprint=CLAIM.fingerprint._replace(mtime_ns=2)),
        CLAIM._replace(fingerprint=CLAIM.fingerprint._replace(size=9)),
        CLAIM._replace(path=b"other"),
        CLAIM._replace(key="other"),
    )
    assert token_of(CLAIM) not in {token_of(other) for other in others}


@pytest.mark.parametrize(
    ("head", "kinds"),
    [
        (HeadResult(5, None, md5_hex(SENT[1]), SENT[0]), (CRC64, MD5)),
        (HeadResult(5, None, md5_hex(SENT[1])), (MD5,)),
        (HeadResult(5, None, f"{md5_hex(SENT[1])}-2", SENT[0]), (CRC64,)),
        (HeadResult(5, None, md5_hex(SENT[1]), SENT[0], encrypted_by_kms=True), (CRC64,)),
        (HeadResult(5, None, md5_hex(SENT[1]), encrypted_by_kms=True), ()),
    ],
    ids=["both", "an MD5", "parts", "KMS", "nothing"],
)
def test_an_object_is_compared_by_every_usable_checksum(head, kinds):
    """An object's checksum is comparable, and its ETag if it is an MD5: not after multipart, not under KMS."""
    assert head.comparable_kinds == kinds
    assert all(head.has_checksum(each) for each in SENT if each.kind in kinds)
    other = (compute(CRC64, b"other"), compute(MD5, b"other"))
    assert not any(head.has_checksum(each) for each in other if each.kind in kinds)


def test_the_token_survives_a_lost_journal():
    """The token depends on the file alone, not on the record's id, generation, attempts or the route's name."""
    other = CLAIM._replace(id=9, generation=7, attempts=3, ambiguous=True, route="renamed", destination="renamed")
    assert token_of(other) == token_of(CLAIM)
