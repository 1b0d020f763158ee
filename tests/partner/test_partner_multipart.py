"""Multipart uploads, including requests that boto3 never sends."""

from __future__ import annotations

import hashlib

import pytest
from boto3.s3.transfer import TransferConfig

from crosshaul.partner import Settings, document, statement
from support.partner_client import checksum as value
from support.partner_client import raw, refused, s3, serving, session

MIB = 1024 * 1024
FIRST, SECOND = b"a" * (5 * MIB), b"b" * 100


@pytest.fixture(scope="module")
def account():
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def client(account):
    return s3(account, request_checksum_calculation="when_required")


def start(account, client, key, **said):
    created = client.create_multipart_upload(Bucket=account.bucket, Key=key, **said)
    return {"Bucket": account.bucket, "Key": key, "UploadId": created["UploadId"]}


def send(client, target, bodies, algorithm=None):
    parts = []
    for number, body in enumerate(bodies, 1):
        given = {f"Checksum{algorithm}": value(algorithm, body)} if algorithm else {}
        answer = client.upload_part(**target, PartNumber=number, Body=body, **given)
        echoed = {name: answer[name] for name in given}
        assert echoed == given
        parts.append({"PartNumber": number, "ETag": answer["ETag"], **given})
    return parts


def finish(client, target, parts, **said):
    return client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts}, **said)


def test_parts_become_one_object(account, client):
    """Two parts make an object of their bytes in order, with AWS's ETag of ETags."""
    target = start(account, client, "whole", ContentType="text/plain", Metadata={"a": "1"})
    done = finish(client, target, send(client, target, [FIRST, SECOND]))
    digests = b"".join(hashlib.md5(part).digest() for part in (FIRST, SECOND))
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-2"'
    assert account.read("whole") == FIRST + SECOND
    got = client.get_object(Bucket=account.bucket, Key="whole", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    assert got["Body"].read() == b"aabb"
    assert (got["ContentType"], got["Metadata"]) == ("text/plain", {"a": "1"})
    assert target["UploadId"] not in account.uploads


def test_the_crc64nvme_of_the_whole_is_verified(account, client):
    """Complete refuses another CRC64NVME of the whole as BadDigest, and accepts and keeps the right one."""
    target = start(account, client, "crc", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")
    parts = send(client, target, [FIRST, SECOND], "CRC64NVME")
    with refused() as refusal:
        finish(client, target, parts, ChecksumCRC64NVME=value("CRC64NVME", b"other"), ChecksumType="FULL_OBJECT")
    assert refusal == (400, "BadDigest")
    right = value("CRC64NVME", FIRST + SECOND)
    done = finish(
        client, target, parts, ChecksumCRC64NVME=right, ChecksumType="FULL_OBJECT", MpuObjectSize=5 * MIB + 100
    )
    assert (done["ChecksumCRC64NVME"], done["ChecksumType"]) == (right, "FULL_OBJECT")
    headed = client.head_object(Bucket=account.bucket, Key="crc", ChecksumMode="ENABLED")
    assert headed["ChecksumCRC64NVME"] == right


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_composite_checksums(account, client, algorithm):
    """The other algorithms are composite by default: a checksum of the parts' checksums, with their number."""
    target = start(account, client, algorithm, ChecksumAlgorithm=algorithm)
    parts = send(client, target, [FIRST, SECOND], algorithm)
    bare = [{name: part[name] for name in ("PartNumber", "ETag")} for part in parts]
    with refused() as refusal:
        finish(client, target, bare)
    done = finish(client, target, parts)
    assert refusal == (400, "InvalidRequest")
    assert done["ChecksumType"] == "COMPOSITE"
    assert done[f"Checksum{algorithm}"].endswith("-2")


def test_the_size_of_the_whole_is_verified(account, client):
    """Complete refuses another size of the whole as InvalidRequest."""
    target = start(account, client, "size")
    with refused() as refusal:
        finish(client, target, send(client, target, [SECOND]), MpuObjectSize=len(SECOND) + 1)
    assert refusal == (400, "InvalidRequest")


def test_crc32_can_be_of_the_full_object(account, client):
    """CRC32 with the type FULL_OBJECT is the CRC32 of the bytes."""
    target = start(account, client, "full", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    done = finish(client, target, send(client, target, [FIRST, SECOND], "CRC32"))
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (value("CRC32", FIRST + SECOND), "FULL_OBJECT")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda parts: parts[::-1], "InvalidPartOrder"),
        (lambda parts: [parts[0], parts[0]], "InvalidPartOrder"),
        (lambda parts: [*parts, {"PartNumber": 3, "ETag": '"0"'}], "InvalidPart"),
        (lambda parts: [{**parts[0], "ETag": '"0"'}, parts[1]], "InvalidPart"),
        (lambda parts: [{**parts[0], "ChecksumCRC64NVME": "AAAAAAAAAAA="}, parts[1]], "InvalidPart"),
        (lambda _parts: [], "MalformedXML"),
    ],
    ids=["order", "twice", "unknown", "etag", "checksum", "none"],
)
def test_a_wrong_list_of_parts_is_refused(account, client, spoil, code):
    """Complete refuses parts that are out of order, unknown, or not as they were uploaded, and the upload stays."""
    target = start(account, client, "spoilt", ChecksumAlgorithm="CRC64NVME")
    parts = send(client, target, [FIRST, SECOND], "CRC64NVME")
    with refused() as refusal:
        finish(client, target, spoil(parts))
    assert refusal == (400, code)
    finish(client, target, parts)


def test_parts_but_the_last_must_have_five_mib(account, client):
    """A part under 5 MiB that isn't the last makes Complete fail with EntityTooSmall."""
    target = start(account, client, "small")
    parts = send(client, target, [FIRST[1:], SECOND])
    with refused() as refusal:
        finish(client, target, parts)
    assert refusal == (400, "EntityTooSmall")


@pytest.mark.parametrize("number", [0, 10_001])
def test_part_numbers_have_bounds(account, client, number):
    """Part numbers go from 1 to 10,000."""
    target = start(account, client, "numbers")
    with refused() as refusal:
        client.upload_part(**target, PartNumber=number, Body=b"")
    assert refusal == (400, "InvalidArgument")


def test_a_part_must_have_the_uploads_algorithm(account, client):
    """A part's checksum of another algorithm than the upload's, or of any where it has none, is InvalidRequest."""
    for said, expected in (({"ChecksumAlgorithm": "CRC64NVME"}, "crc64nvme"), ({}, "null")):
        target = start(account, client, "mixed", **said)
        with refused() as refusal:
            client.upload_part(**target, PartNumber=1, Body=b"x", ChecksumCRC32=value("CRC32", b"x"))
        assert refusal == (400, "InvalidRequest")
        assert f"expected checksum Type: {expected}, actual checksum Type: crc32" in refusal.message


def test_a_part_can_be_sent_again(account, client):
    """A part sent twice counts once, as it was sent last."""
    target = start(account, client, "again")
    send(client, target, [b"old"])
    finish(client, target, send(client, target, [b"new"]))
    assert account.read("again") == b"new"


def test_an_unknown_upload_is_refused(account, client):
    """An upload that is unknown, finished, or another key's is NoSuchUpload."""
    target = start(account, client, "gone")
    parts = send(client, target, [SECOND])
    with refused() as key:
        client.upload_part(**{**target, "Key": "other"}, PartNumber=1, Body=b"")
    finish(client, target, parts)
    with refused() as finished:
        finish(client, target, parts)
    assert key == finished == (404, "NoSuchUpload")


def test_a_repeated_complete_can_be_answered_as_the_first():
    """With complete_repeatable a second Complete returns the first one's response, and writes nothing."""
    with serving(Settings(complete_repeatable=True)) as account:
        client = s3(account, request_checksum_calculation="when_required")
        target = start(account, client, "twice")
        parts = send(client, target, [SECOND])
        assert finish(client, target, parts)["ETag"] == finish(client, target, parts)["ETag"]
        assert account.objects["twice"].writes == 1


def test_complete_can_be_conditional(account, client):
    """If-None-Match: * on Complete is 412 when the key was written meanwhile."""
    target = start(account, client, "raced")
    parts = send(client, target, [SECOND])
    client.put_object(Bucket=account.bucket, Key="raced", Body=b"first")
    with refused() as refusal:
        finish(client, target, parts, IfNoneMatch="*")
    assert refusal == (412, "PreconditionFailed")
    assert account.read("raced") == b"first"


def test_complete_can_replace_what_was_seen(account, client):
    """If-Match on Complete wants the ETag that is there; the upload outlives a refusal and can be completed."""
    target = start(account, client, "replaced")
    parts = send(client, target, [SECOND])
    tag = client.put_object(Bucket=account.bucket, Key="replaced", Body=b"first")["ETag"]
    with refused() as refusal:
        finish(client, target, parts, IfMatch='"0"')
    assert refusal == (412, "PreconditionFailed")
    finish(client, target, parts, IfMatch=tag)
    assert account.read("replaced") == SECOND


def test_ceph_16_minds_conditions_at_put_alone():
    """With "ignored at complete" a Complete overwrites an existing object in spite of conditions."""
    with serving(Settings(conditions="ignored at complete")) as account:
        client = s3(account, request_checksum_calculation="when_required")
        target = start(account, client, "raced")
        parts = send(client, target, [SECOND])
        client.put_object(Bucket=account.bucket, Key="raced", Body=b"first")
        finish(client, target, parts, IfNoneMatch="*")
        assert account.read("raced") == SECOND


def test_abort_and_list_parts_work_for_who_may():
    """With their rights, ListParts tells the parts in pages and Abort ends the upload."""
    everything = document(statement(["*"], "*"))
    with serving(Settings(role_policy=everything)) as account:
        client = s3(account)
        target = start(account, client, "listed", ChecksumAlgorithm="CRC64NVME")
        send(client, target, [b"1", b"22", b"333"], "CRC64NVME")
        pages = client.get_paginator("list_parts").paginate(**target, PaginationConfig={"PageSize": 2})
        assert [part["Size"] for page in pages for part in page["Parts"]] == [1, 2, 3]
        client.abort_multipart_upload(**target)
        with refused() as refusal:
            client.list_parts(**target)
    assert refusal == (404, "NoSuchUpload")


def test_boto3s_own_upload_and_download(account, tmp_path):
    """boto3's managed multipart upload and ranged download bring a file there and back."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(bytes(range(256)) * (80 * 1024))
    client = s3(account)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    client.upload_file(str(source), account.bucket, "managed", Config=config)
    client.download_file(account.bucket, "managed", str(copy), Config=config)
    assert copy.read_bytes() == source.read_bytes()
    assert len(account.objects["managed"].segments) == 3


def test_a_malformed_document_is_refused(account, client):
    """Complete without XML is MalformedXML."""
    target = start(account, client, "xml")
    path = f"/{account.bucket}/xml?uploadId={target['UploadId']}"
    answer = raw(account, "POST", path, session(account), body=b"not xml")
    assert (answer.status, answer.code) == (400, "MalformedXML")
