"""Demonstrate delivery on an embedded partner account, without AWS, in under a minute.

The real daemon runs in a process of its own. The account is the strict one of crosshaul.partner: its role requires the
external ID, and sessions last a few seconds, so that a refresh takes place.
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
_TIMEOUT_SECONDS = 45.0
_RANGE_BYTES = 8 << 20
_MIB = 1 << 20

Say = Callable[[str], None]


class DemoError(CrosshaulError):
    """A step of the demo failed."""


@dataclass(frozen=True, slots=True)
class _DemoSite:
    """The directories, configuration and account of the demo."""

    home: Path
    root: Path
    config_file: Path
    account: PartnerAccount


async def demo(say: Say) -> None:
    """Run the demo, and pass each line of output to ``say``. Raises DemoError or another CrosshaulError."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crosshaul-demo-") as home:
        settings = Settings(session_seconds=_SESSION_SECONDS, spool=Path(home) / "partner")
        async with PartnerAccount(settings) as account:
            site = await asyncio.to_thread(_prepare, Path(home), account)
            config = await asyncio.to_thread(load, site.config_file)
            say(f"Account B (embedded) has the bucket {account.bucket}. Its role {account.role_arn}")
            say("requires an external ID, and allows s3:PutObject and s3:GetObject and nothing else.")
            await _try_without_external_id(config, say)
            async with _daemon(site) as process:
                await _deliver_files(site, say)
                code = await _stop(process)
            say(f"The daemon drained and exited with code {code}.")
            size = await _read_back(config, site, say)
            _conclude(site, size, time.monotonic() - began, say)


def _prepare(home: Path, account: PartnerAccount) -> _DemoSite:
    root = home / "exports"
    root.mkdir()
    # The demo has its own credential files, so that it never uses this machine's credentials.
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


async def _try_without_external_id(config: Config, say: Say) -> None:
    parameters = {"RoleArn": config.destinations["partner"].role_arn, "RoleSessionName": "crosshaul-demo"}
    try:
        await BaseCredentials(config.identity).assume_role(parameters)
    except Fault as fault:
        diagnosis = fault.diagnosis
        answer = f"HTTP {diagnosis.status} {diagnosis.code} ({diagnosis.request_id})"
        say(f"Without the external ID, AssumeRole is refused: {answer}.")
    else:
        raise DemoError("the role was assumed without the external ID, which must not be possible")


@asynccontextmanager
async def _daemon(site: _DemoSite) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "crosshaul", "run", "-c", str(site.config_file)]
    with (site.home / "daemon.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stderr=log)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _deliver_files(site: _DemoSite, say: Say) -> None:
    await asyncio.to_thread(_write_files, site.root, {"before-the-start.txt": 26, "empty": 0})
    await _wait_for_objects(site, 2)
    say("The daemon runs. It delivered the files that existed before its start.")
    small = {f"2026/11/part-{number:03}.csv": 200 + 37 * number for number in range(40)}
    await asyncio.to_thread(
        _write_files, site.root, small | {"näme with spaces & %.bin": 300_000, "large.bin": 40 * _MIB}
    )
    began = time.monotonic()
    await _wait_for_objects(site, 44)
    say(f"42 files written while it runs were delivered in {time.monotonic() - began:.1f} s, one of 40 MiB in 5 parts.")
    await _wait_for_refresh(site)
    await asyncio.to_thread(_write_files, site.root, {"after-the-refresh.txt": 26})
    await _wait_for_objects(site, 45)
    sessions = len({call.access_key_id for call in site.account.calls if call.operation != "AssumeRole"})
    say(f"Sessions expire after {_SESSION_SECONDS:.0f} s here: {sessions} were used so far, and no upload failed.")


def _write_files(root: Path, files: dict[str, int]) -> None:
    """Write each file under a temporary name and rename it, as careful programs do."""
    for name, size in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_name(path.name + ".tmp")
        waiting.write_bytes(b"This is from cross account" if size == 26 else random.randbytes(size))  # noqa: PLR2004, S311
        waiting.rename(path)


async def _wait_for_objects(site: _DemoSite, count: int) -> None:
    await _wait_until(lambda: len(site.account.objects) >= count, f"{count} objects in the bucket", site)


async def _wait_for_refresh(site: _DemoSite) -> None:
    def renewals() -> int:
        return sum(call.operation == "AssumeRole" and call.status == 200 for call in site.account.calls)  # noqa: PLR2004

    before = renewals()
    await _wait_until(lambda: renewals() > before, "a refresh of the credentials", site)


async def _wait_until(condition: Callable[[], bool], what: str, site: _DemoSite) -> None:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            while not condition():  # noqa: ASYNC110 - the account has no event for it
                await asyncio.sleep(0.05)
    except TimeoutError:
        log = await asyncio.to_thread((site.home / "daemon.log").read_text)
        raise DemoError(f"{what}: not within {_TIMEOUT_SECONDS:.0f} s. The daemon's log:\n{log[-4000:]}") from None


async def _stop(process: asyncio.subprocess.Process) -> int:
    process.terminate()
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        code = await process.wait()
    if code:
        raise DemoError(f"the daemon exited with code {code}")
    return code


async def _read_back(config: Config, site: _DemoSite, say: Say) -> int:
    """Compare every local file with its object, by ranged GETs in a session of the role; return the total bytes."""
    async with open_destination(config, config.destinations["partner"], BaseCredentials(config.identity)) as (
        _,
        bucket,
    ):
        paths = [path for path in sorted(site.root.rglob("*")) if path.is_file()]
        for path in paths:
            key = f"from-account-a/{path.relative_to(site.root)}"
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
    for offset in range(0, size, _RANGE_BYTES):
        digest.update(await bucket.get_range(key, offset, min(offset + _RANGE_BYTES, size) - 1))
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _conclude(site: _DemoSite, size: int, seconds: float, say: Say) -> None:
    account = site.account
    twice = [key for key, stored in account.objects.items() if stored.writes > 1]
    refused = [call for call in account.calls if (call.status or 0) >= 400 and call.operation != "AssumeRole"]  # noqa: PLR2004
    if twice:
        raise DemoError(f"sent twice: {', '.join(twice)}")
    say(
        f"Total: {len(account.objects)} files, {size / _MIB:.1f} MiB, none lost, none sent twice, "
        f"{len(refused)} requests to the bucket refused, in {seconds:.0f} s."
    )
