"""What the system tests share: an account (strict, or a real gateway), a configuration for it, and the command itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
from botocore.config import Config as BotoConfig
from partner_fixtures import PartnerProcess, partner_process

_PATIENCE = 60.0
REAL_STORE = "CROSSHAUL_REAL_STORE"
"""Names the JSON file that tests/real/ceph-s3-up printed."""


class Account(Protocol):
    """A partner account as the end-to-end cases need it."""

    endpoint_url: str
    sts_endpoint_url: str
    access_key_id: str
    secret_access_key: str
    role_arn: str
    external_id: str | None
    bucket: str

    def sha256(self) -> dict[str, str]:
        """What the bucket holds: key -> SHA-256 of its bytes."""

    def metadata(self, key: str) -> dict[str, str]:
        """An object's user metadata."""


class Strict:
    """The strict partner account, in a process of its own."""

    def __init__(self, process: PartnerProcess) -> None:
        self.process = process
        for name in ("endpoint_url", "sts_endpoint_url", "access_key_id", "secret_access_key", "role_arn", "external_id", "bucket"):
            setattr(self, name, getattr(process, name))

    def sha256(self) -> dict[str, str]:
        return {key: each["sha256"] for key, each in self.process.objects(sha256=True).items()}

    def metadata(self, key: str) -> dict[str, str]:
        return self.process.objects()[key]["metadata"]


class Ceph:
    """Ceph's gateway; looked into with the credentials of the bucket's owner, never of the role."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.endpoint_url, self.sts_endpoint_url = told["endpoint"], told["sts_endpoint"]
        self.access_key_id = told["account_a"]["access_key"]
        self.secret_access_key = told["account_a"]["secret_key"]
        self.role_arn, self.external_id, self.bucket = told["role_arn"], told["external_id"], told["bucket"]
        self._owner = boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=told["account_b"]["access_key"],
            aws_secret_access_key=told["account_b"]["secret_key"],
            config=BotoConfig(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def empty(self) -> None:
        for key in self._keys():
            self._owner.delete_object(Bucket=self.bucket, Key=key)

    def sha256(self) -> dict[str, str]:
        return {key: hashlib.sha256(self._read(key)).hexdigest() for key in self._keys()}

    def metadata(self, key: str) -> dict[str, str]:
        return self._owner.head_object(Bucket=self.bucket, Key=key)["Metadata"]

    def _keys(self) -> list[str]:
        pages = self._owner.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def _read(self, key: str) -> bytes:
        return self._owner.get_object(Bucket=self.bucket, Key=key)["Body"].read()


@pytest.fixture(params=["strict", pytest.param("ceph", marks=pytest.mark.real)])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    """Each account in turn: the same cases have to hold on all of them."""
    if request.param == "ceph":
        ceph = Ceph(json.loads(Path(os.environ[REAL_STORE]).read_text()))
        ceph.empty()
        yield ceph
        return
    with partner_process(spool=tmp_path / "spool") as process:
        yield Strict(process)


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[PartnerProcess]:
    """The strict partner account alone, for what only it can be told to do."""
    with partner_process(spool=tmp_path / "spool") as process:
        yield process


@dataclass
class Site:
    """Account A's side: a directory with roots, a configuration and credentials; and the command to run on it."""

    home: Path
    account: Account | PartnerProcess
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def config_file(self) -> Path:
        return self.home / "config.yaml"

    def write(self, **changes: Any) -> None:
        """Write the configuration; ``changes`` go into the first route, ``destination=`` into the destination."""
        self.config["routes"][0].update(changes)
        self.config_file.write_text(json.dumps(self.config))

    def crosshaul(self, *arguments: str, timeout: float = _PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        return subprocess.run(
            self._command(*arguments), capture_output=True, text=True, timeout=timeout, env=self._env(), check=False
        )

    def status(self) -> dict[str, Any]:
        """What ``status --json`` says."""
        done = self.crosshaul("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def daemon(self, *arguments: str) -> Iterator[Daemon]:
        """The daemon over the block; killed at its end if it is still there."""
        log = self.home / f"daemon-{time.monotonic_ns()}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(self._command("run", *arguments), stderr=stderr, env=self._env())
        daemon = Daemon(process, log)
        try:
            yield daemon
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=_PATIENCE)

    def _command(self, verb: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "crosshaul", verb, "-c", str(self.config_file), *arguments]

    def _env(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CROSSHAUL_"))}
        return clean | {"AWS_EC2_METADATA_DISABLED": "true"} | self.environment


@dataclass
class Daemon:
    """A running `crosshaul run`."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The log so far, as JSON."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if name is None or line["event"] == name]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end."""
        self.process.send_signal(number)
        return self.process.wait(timeout=_PATIENCE)

    def kill(self) -> None:
        """As the kernel would."""
        self.process.kill()
        self.process.wait(timeout=_PATIENCE)


@pytest.fixture
def site_for(tmp_path: Path) -> Callable[..., Site]:
    """Make Account A's side for an account; keyword arguments go into the route."""

    def make(account: Account | PartnerProcess, **route: Any) -> Site:
        home = tmp_path / "site"
        (home / "root").mkdir(parents=True)
        (home / "external_id").write_text(account.external_id or "")
        site = Site(home, account)
        site.environment = {
            "AWS_ACCESS_KEY_ID": account.access_key_id,
            "AWS_SECRET_ACCESS_KEY": account.secret_access_key,
        }
        site.config = {
            "state_dir": str(home / "state"),
            "identity": {"sts_endpoint_url": account.sts_endpoint_url},
            "destinations": {
                "partner": {
                    "bucket": account.bucket,
                    "role_arn": account.role_arn,
                    "external_id_file": str(home / "external_id"),
                    "endpoint_url": account.endpoint_url,
                }
            },
            "routes": [{"name": "r", "path": str(home / "root"), "settle": {"quiet": "200ms"}, **route}],
            "retry": {"initial": "200ms", "max": "2s"},
            "http": {"listen": None},
            "log": {"format": "json"},
        }
        site.write()
        return site

    return make


def until(condition: Callable[[], object], timeout: float = _PATIENCE) -> None:
    """Wait for a condition; fails with what it last gave."""
    end = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < end:
        last = condition()
        if last:
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout} s; last: {last!r}")


def sha256_of(root: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every regular file below ``root``."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    found[str(path.relative_to(root))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
