"""boto3, and plain signed requests, as clients of a partner account that serves from a thread."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from crosshaul.partner import PartnerAccount, Settings
from crosshaul.partner.checksums import ALGORITHMS, text

_SESSION = boto3.session.Session(aws_access_key_id="unused", aws_secret_access_key="unused")


@contextlib.contextmanager
def serving(settings: Settings | None = None) -> Iterator[PartnerAccount]:
    """A partner account that serves from a thread of its own, so that blocking clients can talk to it."""
    ready = threading.Event()
    box: list[Any] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with PartnerAccount(settings) as account:
            box.extend((account, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    account, loop, stop = box
    try:
        yield account
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def _client(service: str, account: Any, keys: Mapping[str, str], config: Mapping[str, Any], verify: Path | None) -> Any:
    region = config.get("region_name", account.region)
    return _SESSION.client(
        service,
        endpoint_url=config.get("endpoint_url", account.endpoint_url),
        verify=str(verify) if verify else None,
        config=Config(
            region_name=region,
            retries={"total_max_attempts": 1},
            parameter_validation=False,
            **{name: value for name, value in config.items() if name not in {"region_name", "endpoint_url"}},
        ),
        **keys,
    )


def checksum(name: str, data: bytes) -> str:
    """Return a checksum in base64, by S3's name of the algorithm."""
    running = ALGORITHMS[name.lower()].start()
    running.update(data)
    return text(running.digest())


def user_keys(account: Any) -> dict[str, str]:
    """Return Account A's own credentials."""
    return {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret_access_key}


def sts(account: Any, keys: Mapping[str, str] | None = None, verify: Path | None = None, **config: Any) -> Any:
    """boto3's STS client, as Account A's user by default."""
    return _client("sts", account, keys or user_keys(account), config, verify)


def session(account: Any, verify: Path | None = None, **parameters: Any) -> dict[str, str]:
    """Return credentials of the role, from a valid AssumeRole."""
    wanted = {"RoleArn": account.role_arn, "RoleSessionName": "tests", "ExternalId": account.external_id, **parameters}
    answer = sts(account, verify=verify).assume_role(**wanted)["Credentials"]
    return {
        "aws_access_key_id": answer["AccessKeyId"],
        "aws_secret_access_key": answer["SecretAccessKey"],
        "aws_session_token": answer["SessionToken"],
    }


def s3(account: Any, keys: Mapping[str, str] | None = None, verify: Path | None = None, **config: Any) -> Any:
    """boto3's S3 client, as a session of the role by default."""
    return _client("s3", account, keys or session(account, verify), config, verify)


@dataclass
class Refused:
    """The status and code with which a call was refused."""

    code: str = ""
    status: int = 0
    message: str = ""
    headers: Mapping[str, str] = None  # type: ignore[assignment] # filled in before anybody looks

    def __eq__(self, other: object) -> bool:
        return (self.status, self.code) == other

    __hash__ = None  # type: ignore[assignment] # it changes


@contextlib.contextmanager
def refused() -> Iterator[Refused]:
    """Expect the block to be refused; compare the value with ``(status, code)``."""
    seen = Refused()
    with pytest.raises(ClientError) as caught:
        yield seen
    answer = caught.value.response
    seen.code, seen.message = answer["Error"]["Code"], answer["Error"]["Message"]
    seen.status = answer["ResponseMetadata"]["HTTPStatusCode"]
    seen.headers = answer["ResponseMetadata"]["HTTPHeaders"]


@dataclass(frozen=True)
class RawAnswer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error code in the body."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def raw(
    account: Any,
    method: str,
    path: str,
    keys: Mapping[str, str],
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    region: str | None = None,
    at: datetime.datetime | None = None,
    after_signing: Callable[[dict[str, str]], None] | None = None,
) -> RawAnswer:
    """Send one request, signed by botocore over ``headers`` as given."""
    sent = sign(account, method, path, keys, body=body, headers=headers, region=region, at=at)
    if after_signing:
        after_signing(sent)
    return send(account, method, path, sent, body)


def sign(
    account: Any,
    method: str,
    path: str,
    keys: Mapping[str, str],
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    region: str | None = None,
    at: datetime.datetime | None = None,
) -> dict[str, str]:
    """Return the headers of a request, signed by botocore."""
    url = account.endpoint_url + path
    given = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest(), **(headers or {})}
    request = AWSRequest(method=method, url=url, data=body, headers=given)
    credentials = Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"], keys.get("aws_session_token"))
    auth = _Auth(credentials, "s3", region or account.region)
    auth.stated = given["x-amz-content-sha256"]
    moment = at or datetime.datetime.now(datetime.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        auth.add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


class _Auth(S3SigV4Auth):
    """botocore's signer with a given payload hash."""

    stated = ""

    def payload(self, request: AWSRequest) -> str:
        del request
        return self.stated


def send(account: Any, method: str, path: str, headers: Mapping[str, str], body: bytes) -> RawAnswer:
    """Send one request without changes."""
    connection = http.client.HTTPConnection(urlsplit(account.endpoint_url).netloc, timeout=10)
    try:
        connection.request(method, path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return RawAnswer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()
