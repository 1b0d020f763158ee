"""Raw responses of others than S3 and STS (proxies, sign-in pages, other services) to each of our clients."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from crosshaul.aws import http1
from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.aws.control_client import S3ControlClient, location_of
from crosshaul.aws.refresher import Refresher
from crosshaul.aws.sigv4 import Credentials
from crosshaul.aws.upload_client import S3UploadClient
from crosshaul.concurrency.clock import SystemClock
from crosshaul.config import Destination, IdentityConfig
from crosshaul.errors import Diagnosis, Fault, FaultKind
from crosshaul.integrity.checksum import Payload
from crosshaul.model import ChecksumKind
from support.scripted_http import Peer, Script, says, scripted

ERROR = (
    b"<ErrorResponse><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    b"<RequestId>R1</RequestId></ErrorResponse>"
)
XHTML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml">\n<head><title>Sign in</title>'
    b"</head>\n<body><p>Welcome to Hotel Wi-Fi</p></body>\n</html>"
)
SECRET = "s3cr3t-that-the-garbage-quotes"
CREDENTIALS = Credentials("AKIDEXAMPLE", "secret", "token")
MIB = 1 << 20


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a whole response; ``_`` in header names stands for ``-``."""
    named = {"content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Given:
    """Fixed credentials."""

    async def credentials(self) -> Credentials:
        return CREDENTIALS


async def put(url: str) -> None:
    location = location_of(f"{url}/bucket/", "")
    origin = http1.Origin(location.scheme, location.host, location.port)
    client = http1.Client(origin, tls=None, max_connections=1, deadlines=http1.Deadlines(), proxy=None)
    wire = S3UploadClient(client, location, "us-east-1", SystemClock())
    try:
        await wire.put_object(CREDENTIALS, "key", [], Payload.of(b"x", (ChecksumKind.MD5,), hashed=True))
    finally:
        await wire.close()


async def create(url: str) -> None:
    destination, given = (
        Destination(name="d", bucket="bucket", region="us-east-1", endpoint_url=url),
        cast("Refresher", Given()),
    )
    bucket = Bucket(destination, given, S3ControlClient(destination, given), lambda _: pytest.fail("no body is sent"))
    try:
        await bucket.create_multipart_upload("key", 0, "token", ChecksumKind.MD5)
    finally:
        await bucket.close()


async def assume(url: str) -> None:
    role = {"RoleArn": "arn:aws:iam::222222222222:role/partner", "RoleSessionName": "session", "ExternalId": SECRET}
    await BaseCredentials(IdentityConfig(sts_endpoint_url=url, region="us-east-1")).assume_role(role)


CALLS = {"PutObject": put, "CreateMultipartUpload": create, "AssumeRole": assume}
"""One by the wire, two by aioboto3: S3's parser of errors is not that of STS."""


@pytest.fixture(params=CALLS)
def operation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return request.param


async def output(operation: str, script: Script) -> Diagnosis:
    """Return the result of a call that gets this response."""
    call: Callable[[str], Awaitable[None]] = CALLS[operation]
    async with scripted(script) as server:
        with pytest.raises(Fault) as caught:
            await call(f"http://127.0.0.1:{server.port}")
    line = str(caught.value)
    assert "\n" not in line
    assert SECRET not in line
    assert caught.value.diagnosis.operation == operation
    return caught.value.diagnosis


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(ERROR)),
        ("deflate", zlib.compress(ERROR)),
        ("gzip", gzip.compress(ERROR)[:-8]),
        ("gzip", ERROR),
        ("identity", ERROR),
    ],
    ids=["gzip", "deflate", "cut", "not packed at all", "plain"],
)
async def test_an_error_that_was_packed_on_its_way_keeps_its_code(operation: str, encoding: str, body: bytes):
    """A compressed error response keeps its code and request id."""
    said = await output(operation, says(answer(503, body, content_encoding=encoding)))
    assert (said.kind, said.code, said.status, said.request_id) == (FaultKind.THROTTLED, "SlowDown", 503, "R1")


async def test_a_packed_bomb_stays_small(operation: str):
    """A response that decompresses to a gigabyte is decompressed only up to the limit, and its status decides."""
    bomb = gzip.compress(b"<Error>" + bytes(64 * MIB))
    said = await output(operation, says(answer(503, bomb, content_encoding="gzip")))
    assert (said.kind, said.code) == (FaultKind.THROTTLED, "503")


async def test_a_refusal_with_a_huge_page_is_a_refusal(operation: str):
    """A 403 whose body is 3 MB of HTML is judged by its status, and the connection is given up."""
    page = answer(403, b"<html>" + b"<p>No.</p>\n" * (3 * MIB // 11), content_type="text/html", connection="keep-alive")
    said = await output(operation, says(page))
    assert (said.kind, said.code, said.status) == (FaultKind.DESTINATION, "403", 403)
    assert "web page" in said.message


async def test_a_refusal_that_never_ends_is_a_refusal(operation: str):
    """A 403 with an endless body is read up to a limit, and the connection is closed."""
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(b"HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await peer.say(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            sent += 0x10000

    assert (await output(operation, script)).code == "403"
    assert sent < 64 * MIB


async def test_an_endless_good_answer_is_refused(operation: str):
    """A 200 with an endless body is an error, and memory stays bounded."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await peer.say(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    said = await output(operation, script)
    assert (said.kind, said.code) == (FaultKind.NETWORK, "ResponseTooLarge")


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS where none was asked for",
        b"HTTP/1.1 OK 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + SECRET.encode() + b"\r\nsecond line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + SECRET.encode() + b"\r\nsecond line\r\n",
        b"HTTP/1.1 403 \xff\xfe\r\nx: \xff\xfe\r\ncontent-length: 0\r\n\r\n",
    ],
    ids=["ssh", "tls", "status line", "header", "chunk", "not UTF-8"],
)
async def test_garbage_is_reported_in_one_line_that_quotes_none_of_it(operation: str, garbage: bytes):
    """A response that is not HTTP is a network fault with a message that quotes nothing of it."""
    said = await output(operation, says(garbage))
    assert said.kind is FaultKind.NETWORK or said.status == 403
    assert "second line" not in said.message
    assert said.code in {"ProtocolError", "403"}


@pytest.mark.parametrize("body", [XHTML, b"<html><p>Sign in<br></html>", b"", b"{}"])
async def test_a_sign_in_page_is_blamed_on_the_server_that_shows_it(operation: str, body: bytes):
    """A 200 with a web page or no body succeeds in no call, and the message points to the proxy."""
    said = await output(operation, says(answer(200, body, content_type="text/html")))
    assert "proxy" in said.message
    assert (said.kind in {FaultKind.NETWORK, FaultKind.THROTTLED}, said.status) == (True, 200)
    assert "captive portal" in said.advice


async def test_a_sign_in_page_in_sts_s_place_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    """An XHTML page, which botocore can parse, gives a clear error about the proxy."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    said = await output("AssumeRole", says(answer(200, XHTML, content_type="application/xhtml+xml")))
    assert said.message.startswith("the answer has no credentials in it") or "web page" in said.message


@pytest.mark.parametrize(
    ("key", "secret", "token", "what"),
    [
        ("AKID", "secret", f"{SECRET}\nX-Evil: 1", "session token"),
        ("AKID", "secret", f"\n  {SECRET}\n", "session token"),
        (f"{SECRET}\n", "secret", "token", "access key id"),
        ("", "secret", "token", "access key id"),
        ("AKID", "", "token", "secret access key"),
    ],
)
async def test_keys_that_nobody_can_sign_with_are_the_answer_s_fault(
    monkeypatch: pytest.MonkeyPatch, key: str, secret: str, token: str, what: str
):
    """Invalid credentials from AssumeRole are detected before they are used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    given = (
        f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
        f"<SessionToken>{token}</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>"
    )
    result = f"<AssumeRoleResult><Credentials>{given}</Credentials></AssumeRoleResult>"
    body = f"<AssumeRoleResponse>{result}</AssumeRoleResponse>".encode()
    said = await output("AssumeRole", says(answer(200, body, content_type="text/xml")))
    assert (said.kind, said.code) == (FaultKind.NETWORK, "UnexpectedResponse")
    assert what in said.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_says_where_it_would_lead(operation: str, status: int):
    """No redirect is followed; the diagnosis has its host and nothing else of its URL."""
    script = says(answer(status, location=f"https://portal.example:8443/login?token={SECRET}"))
    said = await output(operation, script)
    assert (said.kind, said.status) == (FaultKind.DESTINATION, status)
    assert "redirected to portal.example;" in said.message


@pytest.mark.parametrize("status", [201, 202, 204, 206])
async def test_another_success_is_none(status: int):
    """A success of PutObject other than 200 is ambiguous, not a delivery, and its message says why."""
    said = await output("PutObject", says(answer(status)))
    assert (said.kind, said.code, said.ambiguous) == (FaultKind.THROTTLED, str(status), True)
    assert "proxy" in said.message


async def test_a_good_answer_keeps_its_connection():
    """After a checked response the next call uses the same connection."""
    created = b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(answer(200, created, content_type="application/xml"))

    async with scripted(script) as server:
        url = f"http://127.0.0.1:{server.port}"
        destination = Destination(name="d", bucket="bucket", region="us-east-1", endpoint_url=url)
        control = S3ControlClient(destination, cast("Refresher", Given()))
        for _ in range(3):
            assert (await control.call("create_multipart_upload", "key", {}))["UploadId"] == "U"
        await control.close()
        assert server.accepted == 1
