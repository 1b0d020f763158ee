"""Signatures, including requests that boto3 never sends."""

from __future__ import annotations

import datetime
import hashlib
import socket

import pytest
import requests

from crosshaul.partner import Settings
from crosshaul.partner.authorization import Authorization
from crosshaul.partner.chunked import SIGNED, SIGNED_TRAILER, ChunkSigning, Decoder
from crosshaul.partner.errors import ApiError
from crosshaul.partner.raw_request import RawRequest
from crosshaul.partner.signature import SignatureVerifier
from support.partner_client import raw, refused, s3, send, serving, session


@pytest.fixture(scope="module")
def account():
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def keys(account):
    return session(account)


def put(account, keys, **how):
    return raw(account, "PUT", f"/{account.bucket}/signed", keys, body=b"body", **how)


def test_a_good_signature_is_accepted(account, keys):
    """The unmodified request of the other tests is accepted."""
    assert put(account, keys).status == 200


@pytest.mark.parametrize(
    ("spoil", "answer"),
    [
        (lambda h: h.update(Authorization=h["Authorization"][:-4] + "0000"), (403, "SignatureDoesNotMatch")),
        (lambda h: h.update({"x-amz-meta-late": "1"}), (403, "AccessDenied")),
        (lambda h: h.update({"X-Amz-Date": "20200101T000000Z"}), (400, "AuthorizationHeaderMalformed")),
        (lambda h: h.pop("Authorization"), (403, "AccessDenied")),
        (lambda h: h.update(Authorization="AWS AKIA:old"), (400, "InvalidRequest")),
        (lambda h: h.update(Authorization="AWS4-HMAC-SHA256 nonsense"), (400, "AuthorizationHeaderMalformed")),
        (lambda h: h.pop("X-Amz-Content-SHA256"), (400, "InvalidRequest")),
        (lambda h: h.update({"X-Amz-Security-Token": "garbled"}), (400, "InvalidToken")),
        (lambda h: h.pop("X-Amz-Security-Token"), (400, "InvalidToken")),
    ],
    ids=[
        "signature",
        "unsigned header",
        "date",
        "anonymous",
        "version 2",
        "form",
        "no payload hash",
        "token",
        "no token",
    ],
)
def test_a_spoilt_request_is_refused(account, keys, spoil, answer):
    """Each modification of a signed request gives AWS's own error."""
    refusal = put(account, keys, after_signing=spoil)
    assert (refusal.status, refusal.code) == answer


def test_other_bytes_than_signed_are_refused(account, keys):
    """A body that isn't the one whose SHA-256 was signed is refused, and not stored."""
    wrong = {"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()}
    refusal = raw(account, "PUT", f"/{account.bucket}/other", keys, body=b"body", headers=wrong)
    assert (refusal.status, refusal.code) == (400, "XAmzContentSHA256Mismatch")
    assert "other" not in account.objects


def test_an_unsigned_payload_needs_tls(account, keys):
    """Over plain http UNSIGNED-PAYLOAD is refused."""
    refusal = put(account, keys, headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    assert (refusal.status, refusal.code) == (400, "InvalidRequest")


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_that_is_off_is_refused(account, keys, minutes):
    """A request signed over 15 minutes off is RequestTimeTooSkewed, one within them passes."""
    now = datetime.datetime.now(datetime.UTC)
    refusal = put(account, keys, at=now + datetime.timedelta(minutes=minutes))
    assert (refusal.status, refusal.code) == (403, "RequestTimeTooSkewed")
    assert put(account, keys, at=now + datetime.timedelta(minutes=minutes * 0.9)).status == 200


def test_an_unknown_key_is_refused(account, keys):
    """S3 names an unknown access key InvalidAccessKeyId."""
    refusal = put(account, {**keys, "aws_access_key_id": "ASIAUNKNOWN"})
    assert (refusal.status, refusal.code) == (403, "InvalidAccessKeyId")


def test_a_wrong_region_is_named(account, keys):
    """A scope of another region is malformed, and the answer says which region it should be."""
    refusal = put(account, keys, region="eu-central-1")
    assert (refusal.status, refusal.code) == (400, "AuthorizationHeaderMalformed")
    assert b"<Region>us-east-1</Region>" in refusal.body
    assert refusal.headers["x-amz-bucket-region"] == "us-east-1"


def test_a_bucket_elsewhere_redirects(account, keys):
    """A bucket of another region answers 301 with its region, and boto3 finds it there."""
    moved = raw(account, "PUT", "/partner-eu/a", keys, body=b"")
    assert (moved.status, moved.code) == (301, "PermanentRedirect")
    assert moved.headers["x-amz-bucket-region"] == "eu-west-1"


def test_a_presigned_url_works_until_it_expires(account):
    """A presigned GET is accepted without any header, refused when spoilt, and refused when its time is over."""
    client = s3(account, signature_version="s3v4")
    client.put_object(Bucket=account.bucket, Key="pre signed/ü", Body=b"presigned")
    parameters = {"Bucket": account.bucket, "Key": "pre signed/ü"}
    url = client.generate_presigned_url("get_object", parameters, ExpiresIn=60)
    assert requests.get(url, timeout=10).content == b"presigned"
    assert requests.get(url[:-4] + "0000", timeout=10).status_code == 403
    account.change(clock_skew=61)
    try:
        assert b"Request has expired" in requests.get(url, timeout=10).content
    finally:
        account.change(clock_skew=0)


def test_virtual_host_style_finds_the_same_object(monkeypatch):
    """The bucket may stand in the Host header, in front of the endpoint's name."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **more: resolve("127.0.0.1", *rest, **more))
    with serving(Settings()) as account:
        client = s3(
            account,
            endpoint_url=account.endpoint_url.replace("127.0.0.1", "localhost"),
            s3={"addressing_style": "virtual"},
        )
        hosts = []
        client.meta.events.register("before-send", lambda request, **_: hosts.append(request.url))
        client.put_object(Bucket=account.bucket, Key="/by host//x", Body=b"virtual")
        assert f"//{account.bucket}.localhost:" in hosts[0]
        assert account.read("/by host//x") == b"virtual"


def test_a_bare_plus_is_a_space(account, keys):
    """S3 reads a plus sign in a path as a space, so a client that doesn't escape it signs something else."""
    assert send(account, "GET", f"/{account.bucket}/a+b", {}, b"").status == 403
    assert raw(account, "PUT", f"/{account.bucket}/a%2Bb", keys, body=b"plus").status == 200
    assert account.read("a+b") == b"plus"


AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EXAMPLE = Authorization(
    credential=("AKIAIOSFODNN7EXAMPLE", "20130524", "us-east-1", "s3"),
    stamp="20130524T000000Z",
    signed_headers=("host", "range", "x-amz-content-sha256", "x-amz-date"),
    signature="f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    token=None,
    payload="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
)


def test_the_example_of_the_documentation_verifies():
    """AWS's published GET Object example has the signature that we compute, and no other."""
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": EXAMPLE.payload,
        "x-amz-date": EXAMPLE.stamp,
    }
    request = RawRequest("GET", "/test.txt", "", headers)
    SignatureVerifier().verify(request, EXAMPLE, AWS_SECRET, EXAMPLE.payload)
    with pytest.raises(ApiError):
        SignatureVerifier().verify(RawRequest("GET", "/test.tx", "", headers), EXAMPLE, AWS_SECRET, EXAMPLE.payload)


def chunk(size: int, signature: str) -> bytes:
    return b"%x;chunk-signature=%s\r\n%s\r\n" % (size, signature.encode(), b"a" * size)


def chain(seed: str) -> ChunkSigning:
    return ChunkSigning(SignatureVerifier().signing_key(AWS_SECRET, EXAMPLE), EXAMPLE.stamp, EXAMPLE.scope, seed)


def test_the_chunked_example_of_the_documentation_decodes():
    """AWS's published example of signed chunks verifies, however it is cut, and a turned bit doesn't."""
    body = chunk(65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648")
    body += chunk(1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497")
    body += chunk(0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9")
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    decoder = Decoder(SIGNED, chain(seed))
    pieces = [piece for start in range(0, len(body), 1000) for piece in decoder.feed(body[start : start + 1000])]
    decoder.finish()
    assert b"".join(pieces) == b"a" * 66560
    with pytest.raises(ApiError, match="SignatureDoesNotMatch"):
        list(Decoder(SIGNED, chain(seed)).feed(body.replace(b"aaa\r\n", b"aab\r\n", 1)))


def test_the_chunked_example_with_a_trailer_decodes():
    """AWS's published example of signed chunks with a signed trailer verifies, and another trailer doesn't."""
    body = chunk(65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2")
    body += chunk(1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7")
    body += b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
    trailer = b"x-amz-checksum-crc32c:sOO8/Q==\n"
    end = b"\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    decoder = Decoder(SIGNED_TRAILER, chain(seed))
    assert b"".join(decoder.feed(body + trailer + end)) == b"a" * 66560
    decoder.finish()
    assert decoder.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}
    with pytest.raises(ApiError, match="SignatureDoesNotMatch"):
        list(Decoder(SIGNED_TRAILER, chain(seed)).feed(body + trailer.replace(b"sOO8", b"sOO9") + end))


def test_a_chunk_too_small_and_a_missing_end_are_refused():
    """A chunk under 8 KiB that isn't the last is refused, and so is a body that just ends."""
    decoder = Decoder("STREAMING-UNSIGNED-PAYLOAD-TRAILER", None)
    with pytest.raises(ApiError, match="InvalidChunkSizeError"):
        list(decoder.feed(b"3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n"))
    cut = Decoder("STREAMING-UNSIGNED-PAYLOAD-TRAILER", None)
    list(cut.feed(b"3\r\nabc\r\n0\r\n"))
    with pytest.raises(ApiError, match="IncompleteBody"):
        cut.finish()


def test_a_wrong_secret_is_refused(account, keys):
    """boto3 with a wrong secret gets SignatureDoesNotMatch."""
    with refused() as refusal:
        s3(account, {**keys, "aws_secret_access_key": "wrong"}).put_object(Bucket=account.bucket, Key="a", Body=b"a")
    assert refusal == (403, "SignatureDoesNotMatch")
