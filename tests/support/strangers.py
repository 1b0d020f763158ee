"""A server in the middle: it has every name's address, shows the certificate it is given, and notes what it hears.

With it, each client of the process, as the product itself builds it, making one call.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.config import Config
from crosshaul.errors import Fault
from crosshaul.integrity.checksum import Payload
from crosshaul.model import Checksum, ChecksumKind, Multipart, Part
from crosshaul.service.bucket_access import open_destination
from crosshaul.service.heartbeat_ping import ping

AWS_NAMES = (
    "*.amazonaws.com", "*.us-east-1.amazonaws.com", "*.s3.us-east-1.amazonaws.com", "*.sso.us-east-1.amazonaws.com",
    "monitor.test",
)  # fmt: skip
SECRETS = {
    "external": "the-external-id-canary",
    "token": "web-identity-token-canary",
    "sso": "sso-access-token-canary",
    "refresh": "sso-refresh-token-canary",
    "ping": "ping-canary",
}


@dataclass
class Middle:
    """Records the requests that it could read, and the tunnels that it was asked for as a proxy."""

    received: list[bytes] = field(default_factory=list)
    tunnels: list[bytes] = field(default_factory=list)
    looked_up: int = 0
    """The number of look-ups of each name."""
    answer: bytes = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
    refusal: bytes | None = None
    """Its response to CONNECT; None = it plays the other end itself."""
    direct: int = 0
    """The port where it is the server itself."""
    proxy: int = 0
    """The port where it is the proxy."""


@contextlib.asynccontextmanager
async def in_the_middle(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Middle]:
    """Make every looked-up name lead to it, except the proxy's own address."""
    middle, tasks = Middle(), set[asyncio.Task[None]]()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, proxy: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if proxy:
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"CONNECT "):
                    middle.received.append(head)
                    return
                middle.tunnels.append(head)
                writer.write(middle.refusal or b"HTTP/1.1 200 Yes\r\n\r\n")
                if middle.refusal is not None:
                    await reader.read()  # it keeps the connection
                    return
                await writer.start_tls(tls)
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
                middle.received.append(head + await reader.readexactly(length))
                writer.write(middle.answer)

    async def as_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, proxy=True)

    async def as_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, proxy=False)

    server = await asyncio.start_server(as_server, "127.0.0.1", 0, ssl=tls)
    proxy = await asyncio.start_server(as_proxy, "127.0.0.1", 0)
    middle.direct, middle.proxy = server.sockets[0].getsockname()[1], proxy.sockets[0].getsockname()[1]

    def resolve(host: str, port: int, *_: object, **_options: object) -> list[tuple[object, ...]]:
        middle.looked_up += 1
        place = ("127.0.0.1", port if host == "127.0.0.1" else middle.direct)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        yield middle
    finally:
        server.close()
        proxy.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def clean(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Remove this machine's own credentials, proxies and bundles."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "SSL_CERT")) or name.lower().endswith("_proxy") or "CA_BUNDLE" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    cache = home / "sso"
    cache.mkdir(exist_ok=True)
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    monkeypatch.setattr("botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR", str(cache))


@dataclass
class World:
    """Account A's machine."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    destination: dict[str, object] = field(default_factory=dict)
    identity: dict[str, object] = field(default_factory=dict)

    def config(self) -> Config:
        return Config.model_validate(
            {
                "state_dir": str(self.home / "state"),
                "identity": self.identity,
                "destinations": {"d": {"bucket": "inbox", **self.destination}},
                "routes": [{"name": "r", "path": str(self.home / "root"), "destination": "d"}],
            },
            context={"custom_sts": "sts_endpoint_url" in self.identity},
        )

    def keys(self) -> None:
        """Put a user's keys into the environment."""
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        self.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def profile(self, *lines: str) -> None:
        """The AWS config file, with a default profile."""
        (self.home / "config").write_text("\n".join(["[default]", *lines, ""]))

    def chain(self) -> BaseCredentials:
        config = self.config()
        return BaseCredentials(config.identity).trusting(config.destinations["d"].tls_ca_bundle)

    @contextlib.asynccontextmanager
    async def bucket(self) -> AsyncIterator[Bucket]:
        self.keys()
        config = self.config()
        async with open_destination(config, config.destinations["d"], BaseCredentials(config.identity)) as (_, bucket):
            yield bucket


PAYLOAD = Payload.of(b"x", (ChecksumKind.MD5,), hashed=True)
MULTIPART = Multipart("upload", "key", 1, ChecksumKind.MD5, (Part(1, 1, "e", Checksum(ChecksumKind.MD5, "x")),))


async def assume_role(world: World) -> None:
    world.keys()
    role = "arn:aws:iam::222222222222:role/partner"
    await world.chain().assume_role({"RoleArn": role, "RoleSessionName": "name", "ExternalId": SECRETS["external"]})


async def caller(world: World) -> None:
    world.keys()
    await world.chain().caller()


def of_bucket(call: Callable[[Bucket], Awaitable[object]]) -> Callable[[World], Awaitable[None]]:
    async def made(world: World) -> None:
        async with world.bucket() as bucket:
            await call(bucket)

    return made


async def list_roles(world: World) -> None:
    """Return False."""
    async with world.bucket() as bucket:
        assert await bucket._control_client.reads_iam() is False


async def web_identity(world: World) -> None:
    token = world.home / "token"
    token.write_text(SECRETS["token"] + "\n")
    world.monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    world.monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::111111111111:role/pod")
    await world.chain().credentials()


def _cache(world: World, name: str, **more: str) -> None:
    file = world.home / "sso" / f"{hashlib.sha1(name.encode()).hexdigest()}.json"
    file.write_text(json.dumps({"accessToken": SECRETS["sso"], **more}))


SSO = ("sso_account_id = 111111111111", "sso_role_name = r")
FAR, PAST = "2100-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


async def sso(world: World) -> None:
    world.profile("sso_start_url = https://s.test", "sso_region = us-east-1", *SSO)
    _cache(world, "https://s.test", expiresAt=FAR)
    await world.chain().credentials()


async def sso_refresh(world: World) -> None:
    world.profile(
        "sso_session = s", *SSO, "[sso-session s]", "sso_start_url = https://s.test", "sso_region = us-east-1"
    )
    more = {"clientId": "c", "clientSecret": "cs", "registrationExpiresAt": FAR, "refreshToken": SECRETS["refresh"]}
    _cache(world, "s", expiresAt=PAST, **more)
    await world.chain().credentials()


async def source_profile(world: World) -> None:
    world.profile(
        "role_arn = arn:aws:iam::111111111111:role/own", "source_profile = keys",
        f"external_id = {SECRETS['external']}",
        "[profile keys]", "aws_access_key_id = AKIDEXAMPLE", "aws_secret_access_key = secret",
    )  # fmt: skip
    await world.chain().credentials()


async def heartbeat(world: World) -> None:
    del world
    output = await ping(f"https://monitor.test/{SECRETS['ping']}", None)
    assert output is not None
    assert SECRETS["ping"] not in output
    raise HeartbeatFailed(output)


class HeartbeatFailed(Exception):
    """The heartbeat's error in the log."""


CLIENTS: dict[str, Callable[[World], Awaitable[None]]] = {
    "AssumeRole": assume_role,
    "GetCallerIdentity": caller,
    "HeadObject": of_bucket(lambda bucket: bucket.head_object("key")),
    "CreateMultipartUpload": of_bucket(lambda bucket: bucket.create_multipart_upload("k", 0, "t", ChecksumKind.MD5)),
    "CompleteMultipartUpload": of_bucket(
        lambda bucket: bucket.complete_multipart_upload(MULTIPART, None, size=1, condition=None)
    ),
    "AbortMultipartUpload": of_bucket(lambda bucket: bucket.abort_multipart_upload(MULTIPART.key, MULTIPART.upload_id)),
    "GetObject": of_bucket(lambda bucket: bucket.get_range("key", 0, 9)),
    "ListRoles": list_roles,
    "PutObject": of_bucket(lambda bucket: bucket.put_object("key", PAYLOAD, 0, "token", condition=None)),
    "UploadPart": of_bucket(lambda bucket: bucket.upload_part("key", "upload", 1, PAYLOAD)),
    "AssumeRoleWithWebIdentity": web_identity,
    "SSO": sso,
    "SSO's refresh": sso_refresh,
    "source_profile": source_profile,
    "heartbeat": heartbeat,
}
"""All clients of the process that speak TLS, and a call of each."""


async def output(client: str, world: World) -> str:
    """Return the message of a failing call; "" for the client that never reports one."""
    try:
        await CLIENTS[client](world)
    except (Fault, HeartbeatFailed) as error:
        return str(error)
    return ""


@contextlib.contextmanager
def away(home: Path, name: str) -> Iterator[World]:
    """Give one case a machine of its own."""
    place = home / hashlib.sha256(name.encode()).hexdigest()[:12]
    place.mkdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        clean(monkeypatch, place)
        yield World(place, monkeypatch)
