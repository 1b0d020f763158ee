"""Account A's credential providers: each failure gives one line with the provider, the cause and the remedy."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import hashlib
import io
import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from crosshaul.aws import base_credentials
from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.config import IdentityConfig
from crosshaul.errors import Fault, FaultKind
from support.strangers import FAR, PAST, SSO, World, clean

SECRET = "s3cr3t-that-a-provider-read"
GOOD = {"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    clean(monkeypatch, tmp_path)
    monkeypatch.setattr("aiobotocore.utils.AioContainerMetadataFetcher.SLEEP_TIME", 0)
    return World(tmp_path, monkeypatch)


def program(world: World, text: str) -> None:
    """Return a credential_process that does this."""
    path = world.home / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    world.profile(f"credential_process = {path}")


def prints(document: object) -> Callable[[World], None]:
    return lambda world: program(world, f"cat <<'E'\n{json.dumps(document)}\nE")


def variables(**values: str) -> Callable[[World], None]:
    def give(world: World) -> None:
        for name, value in values.items():
            world.monkeypatch.setenv(name, value.format(home=world.home))

    return give


def token_file(text: str | None, **values: str) -> Callable[[World], None]:
    def give(world: World) -> None:
        if text is not None:
            (world.home / "token").write_text(text)
        variables(**values)(world)

    return give


def lines(*of_profile: str) -> Callable[[World], None]:
    return lambda world: world.profile(*of_profile)


def sso_token(name: str, **fields: str) -> Callable[[World], None]:
    def give(world: World) -> None:
        world.profile("sso_start_url = https://s.test", "sso_region = us-east-1", *SSO)
        file = world.home / "sso" / f"{hashlib.sha1(name.encode()).hexdigest()}.json"
        file.write_text(json.dumps(fields))

    return give


PLACE = "http://127.0.0.1:1/c"
WEB = {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token", "AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/pod"}
POD = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": PLACE, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/token"}
ROLE = ("role_arn = arn:aws:iam::111111111111:role/own",)
KEYS = ("[profile keys]", "aws_access_key_id = AKIDEXAMPLE", "aws_secret_access_key = secret")
ONE = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}

PROCESS, WEB_FILE, SOURCE, POD_URI = (
    "credential_process",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "source_profile",
    "AWS_CONTAINER",
)
KEY_ID, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


def key(name: str, value: str) -> Callable[[World], None]:
    """Return a user's keys, with one of them changed."""
    return variables(**ONE | {name: value})


WRONG: dict[str, tuple[Callable[[World], None], str, str]] = {
    "process missing": (lines("credential_process = /nonexistent/tool"), "/nonexistent/tool", PROCESS),
    "process not allowed": (lines("credential_process = /etc/passwd"), "Permission denied", PROCESS),
    "process prints garbage": (lambda w: program(w, f"echo {SECRET}"), "not the JSON", PROCESS),
    "process prints nothing": (lambda w: program(w, "true"), "not the JSON", PROCESS),
    "process prints a list": (prints([1]), "not the JSON", PROCESS),
    "process prints a number": (prints(7), "not the JSON", PROCESS),
    "process prints no text": (lambda w: program(w, "printf '\\377'"), "not the JSON", PROCESS),
    "process fails": (lambda w: program(w, "echo no >&2; exit 3"), "no", PROCESS),
    "process lacks a key": (prints({"Version": 1, "AccessKeyId": "A"}), "SecretAccessKey", PROCESS),
    "process gives a number": (prints(GOOD | {"AccessKeyId": 7}), "access key id is not a string", PROCESS),
    "process gives null": (prints(GOOD | {"SecretAccessKey": None}), "secret access key is not a string", PROCESS),
    "process gives a token of no text": (prints(GOOD | {"SessionToken": 7}), "session token is not a string", PROCESS),
    "process of another version": (prints(GOOD | {"Version": 2}), "ersion", PROCESS),
    "process gives what has expired": (prints(GOOD | {"Expiration": PAST}), "expired", PROCESS),
    "process gives no time": (prints(GOOD | {"Expiration": "soon"}), "time", PROCESS),
    "process gives a line break": (prints(GOOD | {"AccessKeyId": "A\nB"}), "line break", PROCESS),
    "token file missing": (variables(**WEB), "/token can't be read", WEB_FILE),
    "token file empty": (token_file("\n", **WEB), "/token is empty", WEB_FILE),
    "token file of two lines": (token_file(f"{SECRET}\nx\n", **WEB), "so it holds no token", WEB_FILE),
    "token without a role": (
        variables(AWS_WEB_IDENTITY_TOKEN_FILE="/x"), "role ARN", "AWS_ROLE_ARN",
    ),
    "container token missing": (variables(**POD), "/token can't be read", POD_URI),
    "container token of two lines": (token_file(f"{SECRET}\nx\n", **POD), "so it holds no token", POD_URI),
    "container token with a line break": (
        variables(AWS_CONTAINER_CREDENTIALS_FULL_URI=PLACE, AWS_CONTAINER_AUTHORIZATION_TOKEN=f"{SECRET}\nx"),
        "line break", POD_URI,
    ),
    "container host not allowed": (
        variables(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://example.com/c"), "address", POD_URI,
    ),
    "container address nonsense": (variables(AWS_CONTAINER_CREDENTIALS_FULL_URI="nonsense"), "address", POD_URI),
    "container not there": (variables(AWS_CONTAINER_CREDENTIALS_FULL_URI=PLACE), "container metadata", POD_URI),
    "container not there, with a token": (token_file("good\n", **POD), "container metadata", POD_URI),
    "sso without a token": (
        lines("sso_start_url = https://s.test", "sso_region = us-east-1", *SSO), "does not exist", "aws sso login",
    ),
    "sso expired": (sso_token("https://s.test", accessToken="t", expiresAt=PAST), "expired", "aws sso login"),
    "sso token damaged": (sso_token("https://s.test", accessToken="t"), "invalid", "aws sso login"),
    "sso token without a time": (sso_token("https://s.test", accessToken="t", expiresAt="x"), "time", "aws sso login"),
    "source profile missing": (lines(*ROLE, "source_profile = gone"), "gone", SOURCE),
    "source profile without keys": (lines(*ROLE, "source_profile = k", "[profile k]", "x = y"), "must have", SOURCE),
    "source profile round and round": (
        lines(*ROLE, "source_profile = b", "[profile b]", *ROLE, "source_profile = default"),
        "nfinite", SOURCE,
    ),
    "no source": (lines(*ROLE), "source_profile", SOURCE),
    "unknown source": (lines(*ROLE, "credential_source = Nonsense"), "Nonsense", "credential_source"),
    "mfa": (lines(*ROLE, "source_profile = keys", "mfa_serial = arn:aws:iam::1:mfa/u", *KEYS), "mfa_serial", SOURCE),
    "half of the keys": (variables(AWS_ACCESS_KEY_ID="AKIDEXAMPLE"), "AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    "a line break in the key id": (key("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE\n"), "line break", KEY_ID),
    "a blank in the key id": (key("AWS_ACCESS_KEY_ID", " AKIDEXAMPLE"), "blank", KEY_ID),
    "a line break in the secret": (key("AWS_SECRET_ACCESS_KEY", "x\n"), "line break", SECRET_KEY),
    "a line break in the token": (key("AWS_SESSION_TOKEN", "x\ny"), "line break", "AWS_SESSION_TOKEN"),
    "an expiry that is none": (key("AWS_CREDENTIAL_EXPIRATION", "soon"), "time", KEY_ID),
    "files that are none": (lines("[[[", "x"), "arse", "AWS_CONFIG_FILE"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_a_provider_s_failure_is_reported_in_a_line(case: str, world: World, capfd, caplog):
    """No exception of botocore or Python escapes, nothing is printed, and what was read is not quoted."""
    spoil, why, remedy = WRONG[case]
    spoil(world)
    with pytest.raises(Fault) as caught:
        await world.chain().credentials()
    said = caught.value.diagnosis
    line = said.line()
    assert said.kind is FaultKind.DESTINATION
    assert said.operation == "Credentials"
    assert line.isprintable()
    assert why in said.message, line
    assert remedy in said.advice, line
    assert SECRET not in line
    assert "Traceback" not in "".join(capfd.readouterr())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_nothing_at_all_is_reported(world: World):
    """Without any credentials the line says where they can come from."""
    with pytest.raises(Fault) as caught:
        await world.chain().credentials()
    assert caught.value.diagnosis.code == "NoCredentials"


async def test_a_profile_that_is_not_there_is_reported(world: World):
    """A missing profile is reported with its name and the key that names it."""
    world.identity["profile"] = "gone"
    with pytest.raises(Fault) as caught:
        await world.chain().credentials()
    assert "gone" in caught.value.diagnosis.message
    assert "identity.profile" in caught.value.diagnosis.advice


FINE: dict[str, Callable[[World], None]] = {
    "keys": variables(**ONE),
    "keys, and empty variables of all kinds": variables(
        **ONE, AWS_PROFILE="", AWS_DEFAULT_PROFILE="", AWS_RETRY_MODE="", AWS_MAX_ATTEMPTS="", AWS_SESSION_TOKEN="",
        AWS_STS_REGIONAL_ENDPOINTS="", AWS_DEFAULTS_MODE="", AWS_ENDPOINT_URL="", AWS_CA_BUNDLE="", AWS_ROLE_ARN="",
        AWS_WEB_IDENTITY_TOKEN_FILE="", AWS_CONTAINER_CREDENTIALS_FULL_URI="",
        AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="",
        AWS_USE_DUALSTACK_ENDPOINT="", AWS_USE_FIPS_ENDPOINT="", AWS_REQUEST_CHECKSUM_CALCULATION="", AWS_DATA_PATH="",
    ),
    "a secret with blanks in it, as other stores take them": key("AWS_SECRET_ACCESS_KEY", "a pass phrase"),
    "a process": prints(GOOD),
    "a process with an end": prints(GOOD | {"SessionToken": "t", "Expiration": FAR}),
    "nonsense in AWS_RETRY_MODE, which we don't use": variables(**ONE, AWS_RETRY_MODE="nonsense"),
    "AWS_DEFAULTS_MODE, which asks the metadata service": variables(**ONE, AWS_DEFAULTS_MODE="auto"),
}  # fmt: skip


@pytest.mark.parametrize("case", FINE)
async def test_what_is_right_works(case: str, world: World):
    """Valid credentials are loaded, and an empty variable counts as unset."""
    FINE[case](world)
    assert (await world.chain().credentials()).access_key_id == "AKIDEXAMPLE"
    async with world.chain()._opened().client("sts") as sts:  # a client can be made under all of it
        assert "sts" in sts.meta.endpoint_url


async def test_a_process_that_hangs_is_ended_with_its_asker(world: World):
    """A cancelled caller leaves no hanging credential_process behind."""
    program(world, f"echo $$ > {world.home}/pid; exec sleep 60")
    asking = asyncio.create_task(world.chain().credentials())
    async with asyncio.timeout(60):
        while not (world.home / "pid").exists() or not (world.home / "pid").read_text().endswith("\n"):
            await asyncio.sleep(0.02)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    pid = int((world.home / "pid").read_text())
    async with asyncio.timeout(30):
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.kill(pid, 0)
                await asyncio.sleep(0.02)


FILES: dict[str, Callable[[World], object]] = {
    "shared credentials file": lambda world: (world.home / "credentials").write_text("\n".join(["[default]", *KEYS])),
    "config file": lines(*KEYS),
    "file of the web identity": token_file("token", **WEB),
    "file of the container's token": token_file("token", **POD),
    "SSO cache": sso_token("https://s.test", accessToken="t", expiresAt=PAST),
    "program": prints(GOOD),
}


@pytest.mark.parametrize("case", FILES)
async def test_no_provider_reads_in_the_event_loop(case: str, world: World):
    """Files in the home directory are opened outside the thread of the caller's event loop."""
    FILES[case](world)
    threads: list[str] = []

    def recording(call: Callable[..., object]) -> Callable[..., object]:
        def record(path: object, *arguments: object, **options: object) -> object:
            if str(path).startswith(str(world.home)):
                threads.append(threading.current_thread().name)
            return call(path, *arguments, **options)

        return record

    for owner, name in ((builtins, "open"), (io, "open"), (os, "stat"), (os, "open")):
        world.monkeypatch.setattr(owner, name, recording(getattr(owner, name)))
    with contextlib.suppress(Fault):
        await world.chain().credentials()
    assert threads, "no file was read"
    assert threading.current_thread().name not in threads


async def test_a_hung_file_ends_in_a_fault(world: World, monkeypatch: pytest.MonkeyPatch):
    """A read that hangs ends at the deadline with a fault, the event loop runs meanwhile, and the next read works."""
    monkeypatch.setattr(base_credentials, "STS_DEADLINE_SECONDS", 0.5)
    token_file(None, **WEB)(world)
    os.mkfifo(world.home / "token")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    try:
        with pytest.raises(Fault) as caught:
            await world.chain().credentials()
    finally:
        ticking.cancel()
        await asyncio.to_thread((world.home / "token").write_text, "")  # ends the read
    assert (caught.value.diagnosis.code, caught.value.kind) == ("ReadTimeout", FaultKind.NETWORK)
    assert ticks > 5
    monkeypatch.undo()
    clean(world.monkeypatch, world.home)
    world.keys()
    assert (await world.chain().credentials()).access_key_id == "AKIDEXAMPLE"


async def test_a_line_break_at_the_end_of_a_token_does_no_harm(world: World):
    """The line break at the end of a token file is not part of the token."""
    received = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps(
            {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "s", "Token": "t", "Expiration": FAR}
        ).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/c"
        token_file("the-token\n", **POD | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": place})(world)
        assert (await world.chain().credentials()).access_key_id == "AKIDEXAMPLE"
    assert b"authorization: the-token\r\n" in received[0].lower()


async def test_a_source_profile_s_role_is_asked_of_the_configured_sts(world: World):
    """`identity.sts_endpoint_url` is used for every call to STS, those of the credential chain too."""
    received = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    world.profile(*ROLE, "source_profile = keys", *KEYS)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        chain = BaseCredentials(
            IdentityConfig(sts_endpoint_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        )
        with pytest.raises(Fault):
            await chain.credentials()
    assert len(received) == 1
