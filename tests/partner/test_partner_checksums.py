"""Checksums in headers and trailers."""

from __future__ import annotations

import base64
import zlib

import pytest

from crosshaul.partner import Settings
from crosshaul.partner.checksums import ALGORITHMS, of_parts
from support.partner_client import checksum as value
from support.partner_client import raw, refused, s3, serving, session

NAMES = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]
CHECK = b"123456789"


@pytest.fixture(scope="module")
def account():
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def tls_account(certificates):
    settings = Settings(tls_certificate=certificates.certificate, tls_key=certificates.key)
    with serving(settings) as served:
        yield served


@pytest.mark.parametrize(
    ("name", "known"), [("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")]
)
def test_the_algorithms_are_the_ones_meant(name, known):
    """The CRCs have the check values of their published definitions."""
    assert base64.b64decode(value(name, CHECK)).hex() == known


@pytest.mark.parametrize("name", NAMES)
def test_a_checksum_comes_back(account, name):
    """A checksum given in a header is echoed by PutObject, and by GET and HEAD when they ask for it."""
    client = s3(account)
    given = {f"Checksum{name}": value(name, CHECK)}
    put = client.put_object(Bucket=account.bucket, Key=name, Body=CHECK, **given)
    target = {"Bucket": account.bucket, "Key": name}
    for answer in (
        put,
        client.get_object(**target, ChecksumMode="ENABLED"),
        client.head_object(**target, ChecksumMode="ENABLED"),
    ):
        assert {key: answer[key] for key in given} == given
        assert answer["ChecksumType"] == "FULL_OBJECT"
    assert f"Checksum{name}" not in client.head_object(**target)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_checksum_is_refused(account, name):
    """A checksum of other bytes is BadDigest, one of another shape InvalidRequest, and nothing is stored."""
    client = s3(account)
    for given, code in ((value(name, b"other"), "BadDigest"), ("AAA=", "InvalidRequest")):
        with refused() as refusal:
            client.put_object(Bucket=account.bucket, Key=f"{name}-wrong", Body=CHECK, **{f"Checksum{name}": given})
        assert refusal == (400, code)
    assert f"{name}-wrong" not in account.objects


def test_two_checksums_are_refused(account):
    """Two checksum headers in one request are InvalidRequest."""
    headers = {f"x-amz-checksum-{name.lower()}": value(name, CHECK) for name in ("CRC32", "CRC64NVME")}
    answer = raw(account, "PUT", f"/{account.bucket}/two", session(account), body=CHECK, headers=headers)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_without_a_checksum_s3_computes_its_own(account):
    """An object put without a checksum has a CRC64NVME nevertheless."""
    client = s3(account, request_checksum_calculation="when_required")
    put = client.put_object(Bucket=account.bucket, Key="bare", Body=CHECK)
    assert put["ChecksumCRC64NVME"] == value("CRC64NVME", CHECK)


@pytest.mark.parametrize("name", NAMES)
def test_boto3s_trailers_are_decoded_and_verified(tls_account, certificates, name):
    """Over TLS boto3 sends its checksum in a trailer: the body arrives without the framing, with the checksum."""
    client = s3(tls_account, verify=certificates.authority)
    body = CHECK * 200_000
    seen = []
    client.meta.events.register("before-send", lambda request, **_: seen.append(request.headers))
    client.put_object(Bucket=tls_account.bucket, Key=name, Body=body, ChecksumAlgorithm=name)
    assert seen[0]["X-Amz-Content-SHA256"] == b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert tls_account.read(name) == body
    stored = tls_account.objects[name]
    assert stored.checksum is not None
    assert stored.checksum.value == value(name, body)
    assert "content-encoding" not in stored.attributes.content


def test_a_wrong_trailer_is_refused(tls_account, certificates):
    """A trailer that isn't the body's checksum is BadDigest."""
    client = s3(tls_account, verify=certificates.authority)
    wrong = zlib.crc32(b"other").to_bytes(4, "big")

    def spoil(request, **_):
        body = request.body.read()
        head, _colon, _value = body.rpartition(b":")
        request.body = head + b":" + base64.b64encode(wrong) + b"\r\n\r\n"

    client.meta.events.register("before-send", spoil)
    with refused() as refusal:
        client.put_object(Bucket=tls_account.bucket, Key="spoilt", Body=CHECK)
    assert refusal == (400, "BadDigest")


def test_a_length_that_isnt_the_payloads_is_refused(tls_account, certificates):
    """A framed body of another length than x-amz-decoded-content-length says is IncompleteBody."""
    client = s3(tls_account, verify=certificates.authority)

    def lie(request, **_):
        request.headers.replace_header("X-Amz-Decoded-Content-Length", "10")

    client.meta.events.register("before-sign.s3.PutObject", lie)
    with refused() as refusal:
        client.put_object(Bucket=tls_account.bucket, Key="short", Body=CHECK)
    assert refusal == (400, "IncompleteBody")
    assert "short" not in tls_account.objects


def test_an_old_store_ignores_them():
    """A store of quality "ignored" accepts a wrong checksum and echoes none."""
    with serving(Settings(checksums="ignored")) as account:
        put = s3(account).put_object(Bucket=account.bucket, Key="a", Body=CHECK, ChecksumCRC64NVME="AAAAAAAAAAA=")
        assert "ChecksumCRC64NVME" not in put
        got = s3(account).get_object(Bucket=account.bucket, Key="a", ChecksumMode="ENABLED")
        assert not [name for name in got if name.startswith("Checksum")]


def test_a_store_of_crc32_refuses_the_others():
    """A store of quality "crc32 only" refuses CRC64NVME as InvalidRequest and verifies CRC32."""
    with serving(Settings(checksums="crc32 only")) as account:
        client = s3(account)
        with refused() as unknown:
            client.put_object(Bucket=account.bucket, Key="a", Body=CHECK, ChecksumCRC64NVME=value("CRC64NVME", CHECK))
        with refused() as wrong:
            client.put_object(Bucket=account.bucket, Key="a", Body=CHECK, ChecksumCRC32=value("CRC32", b"other"))
        with refused() as parts:
            client.create_multipart_upload(Bucket=account.bucket, Key="a", ChecksumAlgorithm="CRC64NVME")
        assert client.put_object(Bucket=account.bucket, Key="a", Body=CHECK)["ChecksumCRC32"]
    assert unknown == parts == (400, "InvalidRequest")
    assert wrong == (400, "BadDigest")


@pytest.mark.parametrize("name", ["crc32", "crc32c", "crc64nvme"])
def test_parts_combine_to_the_whole(name):
    """The full-object checksum made of parts is the one of the bytes."""
    parts = [b"a" * 1000, b"b" * 7, b"", b"c" * 300]
    combined = of_parts(ALGORITHMS[name], "FULL_OBJECT", [(value(name, part), len(part)) for part in parts])
    assert combined.value == value(name, b"".join(parts))
