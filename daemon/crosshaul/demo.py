"""The whole story on an embedded partner account: no AWS, no questions, under a minute.

The daemon is the real one, in a process of its own; the account is the strict one of crosshaul.partner, with a role
that demands the external ID and sessions of a few seconds, so that a refresh can be watched.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from crosshaul.aws.base_credentials import BaseCredentials
from crosshaul.aws.bucket import Bucket
from crosshaul.config import Config, load
from crosshaul.errors import CrosshaulError, Fault
from crosshaul.partner import PartnerAccount, Settings
from crosshaul.service.bucket_access import open_destination

_SESSION_SECONDS = 5.0
_PATIENCE = 45.0
_RANGE = 8 << 20
_MIB = 1 << 20

Say = Callable[[str], None]


class DemoError(CrosshaulError):
    """Something in the demo did not come out as promised."""


@dataclass(frozen=True, slots=True)
class _DemoSite:
    """Where the demo plays."""

    home: Path
    root: Path
    config_file: Path
    account: PartnerAccount


async def demo(say: Say) -> None:
    """Play it, a line at a time to ``say``; raises DemoError (or another CrosshaulError) if anything goes wrong."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crosshaul-demo-") as home:
        settings = Settings(session_seconds=_SESSION_SECONDS, spool=Path(home) / "partner")
        async with PartnerAccount(settings) as account:
            scene = await asyncio.to_thread(_prepare, Path(home), account)
            config = await asyncio.to_thread(load, scene.config_file)
            say(f"Account B (embedded) has the bucket {account.bucket}. Its role {account.role_arn}")
            say("trusts Account A on an external ID, and allows s3:PutObject and s3:GetObject and nothing else.")
            await _refused_without_external_id(config, say)
            async with _daemon(scene) as process:
                await _story(scene, say)
                code = await _stopped(process)
            say(f"The daemon drained and ended with code {code}.")
            size = await _read_back(config, scene, say)
            _conclude(scene, size, time.monotonic() - began, say)


def _prepare(home: Path, account: PartnerAccount) -> _DemoSite:
    root = home / "exports"
    root.mkdir()
    # Files of our own for the standard chain: whatever credentials this machine has, the demo neither sees nor uses.
    credentials = home / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {account.access_key_id}\naws_secret_access_key = {account.secret_access_key}\n"
    )
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(credentials)
    os.environ["AWS_CONFIG_FILE"] = str(home / "no-config")
    (home / "external_id").write_text(account.external_id or "")
    config = {
        "state_dir": str(home / "state"),
        "identity": {"sts_endpoint_url": account.sts_endpoint_url},
        "destinations": {
            "partner": {
                "bucket": account.bucket,
                "key_prefix": "from-account-a/",
                "role_arn": account.role_arn,
                "external_id_file": str(home / "external_id"),
                "endpoint_url": account.endpoint_url,
            }
        },
        "routes": [{"name": "exports", "path": str(root), "settle": {"quiet": "500ms"}}],
        "http": {"listen": None},
        "log": {"format": "json"},
    }
    config_file = home / "config.yaml"
    config_file.write_text(json.dumps(config))  # JSON is YAML
    return _DemoSite(home, root, config_file, account)


async def _refused_without_external_id(config: Config, say: Say) -> None:
    parameters = {"RoleArn": config.destinations["partner"].role_arn, "RoleSessionName": "crosshaul-demo"}
    try:
        await BaseCredentials(config.identity).assume_role(parameters)
    except Fault as fault:
        said = fault.diagnosis
        say(f"Without the external ID, AssumeRole is refused: HTTP {said.status} {said.code} ({said.request_id}).")
    else:
        raise DemoError("the role was assumed without the external ID, which must not be possible")


@asynccontextmanager
async def _daemon(scene: _DemoSite) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "crosshaul", "run", "-c", str(scene.config_file)]
    with (scene.home / "daemon.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stderr=log)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _story(scene: _DemoSite, say: Say) -> None:
    await asyncio.to_thread(_drop, scene.root, {"before-the-start.txt": 26, "empty": 0})
    await _delivered(scene, 2)
    say("The daemon runs. It delivered what was there before its start.")
    small = {f"2026/11/part-{number:03}.csv": 200 + 37 * number for number in range(40)}
    await asyncio.to_thread(_drop, scene.root, small | {"näme with spaces & %.bin": 300_000, "large.bin": 40 * _MIB})
    began = time.monotonic()
    await _delivered(scene, 44)
    say(f"42 files dropped while it runs were delivered in {time.monotonic() - began:.1f} s, one of 40 MiB in 5 parts.")
    await _refreshed(scene)
    await asyncio.to_thread(_drop, scene.root, {"after-the-refresh.txt": 26})
    await _delivered(scene, 45)
    sessions = len({call.access_key_id for call in scene.account.calls if call.operation != "AssumeRole"})
    say(f"Sessions end after {_SESSION_SECONDS:.0f} s here: {sessions} were used so far, and no upload noticed.")


def _drop(root: Path, files: dict[str, int]) -> None:
    """Write beside the place and rename into it, as careful programs do."""
    for name, size in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_name(path.name + ".tmp")
        waiting.write_bytes(b"This is from cross account" if size == 26 else random.randbytes(size))  # noqa: PLR2004, S311
        waiting.rename(path)


async def _delivered(scene: _DemoSite, count: int) -> None:
    await _until(lambda: len(scene.account.objects) >= count, f"{count} objects in the bucket", scene)


async def _refreshed(scene: _DemoSite) -> None:
    def renewals() -> int:
        return sum(call.operation == "AssumeRole" and call.status == 200 for call in scene.account.calls)  # noqa: PLR2004

    before = renewals()
    await _until(lambda: renewals() > before, "a refresh of the credentials", scene)


async def _until(condition: Callable[[], bool], what: str, scene: _DemoSite) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            while not condition():  # noqa: ASYNC110 - the account is watched from outside, as an operator would
                await asyncio.sleep(0.05)
    except TimeoutError:
        log = await asyncio.to_thread((scene.home / "daemon.log").read_text)
        raise DemoError(f"{what}: not within {_PATIENCE:.0f} s. The daemon said:\n{log[-4000:]}") from None


async def _stopped(process: asyncio.subprocess.Process) -> int:
    process.terminate()
    async with asyncio.timeout(_PATIENCE):
        code = await process.wait()
    if code:
        raise DemoError(f"the daemon ended with code {code}")
    return code


async def _read_back(config: Config, scene: _DemoSite, say: Say) -> int:
    """Every local file against its object, by ranged GETs through a session of the role's; returns the bytes."""
    async with open_destination(config, config.destinations["partner"], BaseCredentials(config.identity)) as (
        _,
        bucket,
    ):
        paths = [path for path in sorted(scene.root.rglob("*")) if path.is_file()]
        for path in paths:
            key = f"from-account-a/{path.relative_to(scene.root)}"
            local, remote = await asyncio.gather(
                asyncio.to_thread(_sha256, path), _remote_sha256(bucket, key, path.stat().st_size)
            )
            if local != remote:
                raise DemoError(f"{path.name}: the bucket holds other bytes")
    total = sum(path.stat().st_size for path in paths)
    say(f"Each of the {len(paths)} objects, read back by ranged GETs, is the file byte for byte ({total:,} bytes).")
    return total


async def _remote_sha256(bucket: Bucket, key: str, size: int) -> str:
    digest = hashlib.sha256()
    for offset in range(0, size, _RANGE):
        digest.update(await bucket.get_range(key, offset, min(offset + _RANGE, size) - 1))
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _conclude(scene: _DemoSite, size: int, seconds: float, say: Say) -> None:
    account = scene.account
    twice = [key for key, stored in account.objects.items() if stored.writes > 1]
    refused = [call for call in account.calls if (call.status or 0) >= 400 and call.operation != "AssumeRole"]  # noqa: PLR2004
    if twice:
        raise DemoError(f"sent twice: {', '.join(twice)}")
    say(
        f"In all: {len(account.objects)} files, {size / _MIB:.1f} MiB, none lost, none sent twice, "
        f"{len(refused)} requests to the bucket refused, in {seconds:.0f} s."
    )
