"""Scripted faults, one test per kind."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import HTTPClientError, ReadTimeoutError, ResponseStreamingError

from crosshaul.partner import (
    Close,
    Corrupt,
    Delay,
    DelayedCommit,
    Error,
    ErrorInBody,
    PartnerAccount,
    Reset,
    Rule,
    Settings,
    Stall,
    TruncatedResponse,
    WrongETag,
)
from support.partner_client import refused, s3, serving, session, sign, sts

BODY = b"body" * 1000


@pytest.fixture(scope="module")
def served():
    with serving(Settings(body_timeout=1.0)) as account:
        yield account


@pytest.fixture
def account(served: PartnerAccount):
    served.faults.clear()
    served.objects.clear()
    served.calls.clear()
    return served


@pytest.fixture
def client(account):
    return s3(account, request_checksum_calculation="when_required")


@pytest.fixture
def impatient(account):
    return s3(account, read_timeout=1.0, request_checksum_calculation="when_required")


def put(account, client, key="a", body=BODY):
    return client.put_object(Bucket=account.bucket, Key=key, Body=body)


@pytest.mark.parametrize("when", ["before_body", "after_body"])
def test_an_error_is_answered_and_nothing_is_stored(account, client, when):
    """A scripted error reaches the client with its code and headers, the object isn't written, the next put is."""
    rule = account.faults.add(Rule(Error(503, "SlowDown", headers={"Retry-After": "7"}, when=when), "PutObject"))
    with refused() as refusal:
        put(account, client)
    assert refusal == (503, "SlowDown")
    assert refusal.headers["retry-after"] == "7"
    assert "a" not in account.objects
    put(account, client)
    assert (rule.hits, account.read("a")) == (1, BODY)


def test_an_error_after_the_commit_is_ambiguous(account, client):
    """An error after the commit reaches the client although the object was written."""
    account.faults.add(Rule(Error(500, "InternalError", when="after_commit"), "PutObject"))
    with refused() as refusal:
        put(account, client)
    assert refusal == (500, "InternalError")
    assert account.read("a") == BODY


def test_a_conflict_can_be_scripted(account, client):
    """409 ConditionalRequestConflict is an error like the others."""
    account.faults.add(Rule(Error(409, "ConditionalRequestConflict", "Conflict")))
    with refused() as refusal:
        client.put_object(Bucket=account.bucket, Key="a", Body=b"", IfNoneMatch="*")
    assert refusal == (409, "ConditionalRequestConflict")


@pytest.mark.parametrize(
    ("when", "stored"), [("before_body", False), ("mid_body", False), ("after_body", False), ("after_commit", True)]
)
def test_a_reset_connection(account, client, when, stored):
    """A connection reset before, within or after the body leaves no object; one after the commit leaves it."""
    account.faults.add(Rule(Reset(when), "PutObject"))
    with pytest.raises(HTTPClientError):
        put(account, client, body=b"x" * 3_000_000)
    assert ("a" in account.objects) is stored
    put(account, client)


def test_half_an_answer(account, client):
    """A truncated response ends in the head of a completed put, and in the body of a get."""
    account.faults.add(Rule(TruncatedResponse(), "[PG]*Object", times=2))
    received = _talk(account, BODY, b"")
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in received
    assert account.read("a") == BODY
    with pytest.raises(ResponseStreamingError):
        client.get_object(Bucket=account.bucket, Key="a")["Body"].read()


@pytest.mark.parametrize("where", ["unread", "head"])
def test_silence_ends_in_the_clients_own_timeout(account, impatient, where):
    """A server that doesn't read, or doesn't answer, keeps its client waiting."""
    account.faults.add(Rule(Stall(3, where), "PutObject"))
    with pytest.raises(ReadTimeoutError):
        put(account, impatient)


def test_silence_in_the_body_of_an_answer(account, client, impatient):
    """A get that stalls halfway sends its head, and then nothing."""
    put(account, client)
    account.faults.add(Rule(Stall(3, "body"), "GetObject"))
    answer = impatient.get_object(Bucket=account.bucket, Key="a")
    with pytest.raises(ReadTimeoutError):
        answer["Body"].read()


def test_100_continue_can_be_withheld(account):
    """A client that waits for 100 Continue doesn't get it while the stall lasts, and gets it without one."""
    account.faults.add(Rule(Stall(30, "continue"), "PutObject"))
    expect = b"Expect: 100-continue\r\n"
    assert _talk(account, b"", expect, seconds=0.2) == b""
    assert _talk(account, b"", expect, seconds=30).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")


def _talk(account, sent: bytes, extra: bytes, seconds: float = 30.0) -> bytes:
    """Put BODY, of which ``sent`` is sent; return what comes back within this many seconds."""
    path = f"/{account.bucket}/a"
    signed = sign(account, "PUT", path, session(account), body=BODY)
    host = urlsplit(account.endpoint_url).netloc
    lines = [f"PUT {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in signed.items())]
    received = b""
    with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2]))) as connection:
        connection.settimeout(seconds)
        head = "\r\n".join(lines) + f"\r\nContent-Length: {len(BODY)}\r\n"
        connection.sendall(head.encode() + extra + b"\r\n" + sent)
        with contextlib.suppress(TimeoutError):
            while data := connection.recv(1000):
                received += data
    return received


def test_a_late_request_is_judged_when_it_is_carried_out(account, client):
    """The condition of a delayed commit is checked at the commit."""
    rule = account.faults.add(Rule(DelayedCommit(3.0), "PutObject"))
    with ThreadPoolExecutor(1) as pool, refused() as refusal:
        held_back = pool.submit(client.put_object, Bucket=account.bucket, Key="late", Body=BODY, IfNoneMatch="*")
        while not rule.hits:
            time.sleep(0.01)
        client.put_object(Bucket=account.bucket, Key="late", Body=b"meanwhile")
        held_back.result()
    assert refusal == (412, "PreconditionFailed")
    assert account.read("late") == b"meanwhile"


def test_a_delay_changes_nothing_else(account, client):
    """A delayed call succeeds."""
    account.faults.add(Rule(Delay(0.2), "PutObject"))
    started = time.monotonic()
    put(account, client)
    assert time.monotonic() - started >= 0.2
    assert account.read("a") == BODY


def test_damage_on_the_way_is_seen_by_a_checksum(account):
    """A bit that flips in transit gives BadDigest to a client that sent a checksum."""
    account.faults.add(Rule(Corrupt(seen=True), "PutObject"))
    with refused() as refusal:
        s3(account).put_object(Bucket=account.bucket, Key="a", Body=BODY, ChecksumAlgorithm="CRC64NVME")
    assert refusal.status == 400
    assert refusal.code in {"BadDigest", "XAmzContentSHA256Mismatch"}


def test_damage_on_the_disk_is_seen_by_nobody_but_a_reader(account, client):
    """A bit that flips on the disk changes the bytes, but not ETag and checksum."""
    good = put(account, client)
    account.faults.add(Rule(Corrupt(seen=False), "PutObject"))
    assert put(account, client)["ETag"] == good["ETag"]
    assert account.read("a") != BODY


def test_a_wrong_etag(account, client):
    """A response can have a wrong ETag."""
    account.faults.add(Rule(WrongETag(), "PutObject"))
    assert put(account, client)["ETag"] == '"00000000000000000000000000000000"'


def test_200_with_an_error_inside(account, client):
    """Complete can return 200 with an error in its body, which boto3 raises."""
    created = client.create_multipart_upload(Bucket=account.bucket, Key="m")
    target = {"Bucket": account.bucket, "Key": "m", "UploadId": created["UploadId"]}
    part = client.upload_part(**target, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    account.faults.add(Rule(ErrorInBody(), "CompleteMultipartUpload"))
    with refused() as refusal:
        client.complete_multipart_upload(**target, MultipartUpload=parts)
    assert refusal.code == "InternalError"
    assert account.calls[-1].status == 200
    client.complete_multipart_upload(**target, MultipartUpload=parts)


def test_the_connection_closes_after_the_answer(account, client):
    """A good response can have Connection: close."""
    account.faults.add(Rule(Close(), "PutObject"))
    assert put(account, client)["ResponseMetadata"]["HTTPHeaders"]["connection"] == "close"


def test_sts_can_fail_too(account):
    """A scripted error of AssumeRole has STS's XML."""
    account.faults.add(Rule(Error(503, "ServiceUnavailable", "no"), "AssumeRole"))
    with refused() as refusal:
        session(account)
    assert refusal == (503, "ServiceUnavailable")
    sts(account).get_caller_identity()


def test_a_rule_chooses_its_calls(account, client):
    """A rule skips the first calls, fires a number of times, and matches operation, key and part."""
    account.faults.add(Rule(Error(), "Put*", key="in/*", after=1, times=1))
    outcomes = []
    for key in ("out/1", "in/1", "in/2", "in/3"):
        try:
            put(account, client, key)
            outcomes.append("")
        except client.exceptions.ClientError as error:
            outcomes.append(error.response["Error"]["Code"])
    assert outcomes == ["", "", "SlowDown", ""]
    created = client.create_multipart_upload(Bucket=account.bucket, Key="m")
    target = {"Bucket": account.bucket, "Key": "m", "UploadId": created["UploadId"], "Body": b""}
    account.faults.add(Rule(Error(), part=2))
    client.upload_part(**target, PartNumber=1)
    with refused():
        client.upload_part(**target, PartNumber=2)


def test_chance_is_between_none_and_all(account, client):
    """A rule with a probability fires for some calls."""
    rule = account.faults.add(Rule(WrongETag(), "PutObject", times=None, probability=0.5))
    for _ in range(40):
        put(account, client)
    assert 0 < rule.hits < 40


def test_the_log_tells_what_happened(account, client):
    """Each call is logged with operation, key, part, status, code, size, credentials, request id and fault."""
    account.faults.add(Rule(Error(), "PutObject", times=1))
    with refused():
        put(account, client)
    answer = put(account, client)
    # Others' calls that stalled (the account serves the whole module) are logged when they end.
    failed, done = [call for call in account.calls if call.operation == "PutObject"][-2:]
    assert (failed.operation, failed.key, failed.status, failed.code, failed.fault) == (
        "PutObject",
        "a",
        503,
        "SlowDown",
        "error",
    )
    assert (done.status, done.code, done.size, done.fault) == (200, "", len(BODY), "")
    assert done.access_key_id.startswith("ASIA")
    assert done.request_id == answer["ResponseMetadata"]["RequestId"]
    assert done.at >= failed.at


def test_a_body_that_stops_coming_is_a_request_timeout(account):
    """A client that stops sending gets RequestTimeout."""
    received = _talk(account, BODY[:10], b"")
    assert received.startswith(b"HTTP/1.1 400")
    assert b"<Code>RequestTimeout</Code>" in received


def test_a_rule_that_makes_no_sense_is_refused():
    """A rule with an unknown kind or field is a ValueError that says which there are."""
    with pytest.raises(ValueError, match="truncated_response"):
        Rule.from_json({"action": {"kind": "explode"}})
    with pytest.raises(ValueError, match="probability"):
        Rule.from_json({"chance": 1, "action": {"kind": "reset"}})
