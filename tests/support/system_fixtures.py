"""Shared fixtures of the system tests: an account (strict, or a real gateway), its configuration, and the command."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
from botocore.config import Config as BotoConfig

from support.partner_fixtures import PartnerProcess, partner_process

_PATIENCE = 60.0
_SECRET = 12
"""Length from which a match of a secret is no accident."""
REAL_STORE = "CROSSHAUL_REAL_STORE"
"""Names the JSON file that tests/real/ceph-s3-up printed."""


class Way(Protocol):
    """An account as Account A knows it: address and credentials."""

    endpoint_url: str
    sts_endpoint_url: str
    access_key_id: str
    secret_access_key: str
    role_arn: str
    external_id: str | None
    bucket: str


class Account(Way, Protocol):
    """A partner account for the end-to-end tests."""

    def sha256(self) -> dict[str, str]:
        """Return the SHA-256 of each object, by key."""

    def marks(self) -> dict[str, object]:
        """Return, by key, a value that differs after each write."""

    def metadata(self, key: str) -> dict[str, str]:
        """Return an object's user metadata."""

    def content_type(self, key: str) -> str:
        """Return an object's content type."""


class Strict:
    """The strict partner account, in a process of its own."""

    def __init__(self, process: PartnerProcess) -> None:
        self.process = process
        self.endpoint_url, self.sts_endpoint_url = process.endpoint_url, process.sts_endpoint_url
        self.access_key_id, self.secret_access_key = process.access_key_id, process.secret_access_key
        self.role_arn, self.external_id, self.bucket = process.role_arn, process.external_id, process.bucket

    def sha256(self) -> dict[str, str]:
        return {key: each["sha256"] for key, each in self.process.objects(sha256=True).items()}

    def marks(self) -> dict[str, object]:
        return {key: each["writes"] for key, each in self.process.objects().items()}

    def metadata(self, key: str) -> dict[str, str]:
        return self.process.objects()[key]["metadata"]

    def content_type(self, key: str) -> str:
        return self.process.objects()[key]["headers"]["content-type"]


class Ceph:
    """Ceph's gateway; inspected with the credentials of the bucket's owner, never of the role."""

    def __init__(self, account: Mapping[str, Any]) -> None:
        self.endpoint_url, self.sts_endpoint_url = account["endpoint"], account["sts_endpoint"]
        self.access_key_id = account["account_a"]["access_key"]
        self.secret_access_key = account["account_a"]["secret_key"]
        self.role_arn, self.external_id, self.bucket = account["role_arn"], account["external_id"], account["bucket"]
        self._owner = boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=account["account_b"]["access_key"],
            aws_secret_access_key=account["account_b"]["secret_key"],
            config=BotoConfig(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def empty(self) -> None:
        for key in self._listed():
            self._owner.delete_object(Bucket=self.bucket, Key=key)

    def sha256(self) -> dict[str, str]:
        return {key: hashlib.sha256(self._read(key)).hexdigest() for key in self._listed()}

    def marks(self) -> dict[str, object]:
        return {key: each["LastModified"] for key, each in self._listed().items()}

    def metadata(self, key: str) -> dict[str, str]:
        return self._owner.head_object(Bucket=self.bucket, Key=key)["Metadata"]

    def content_type(self, key: str) -> str:
        return self._owner.head_object(Bucket=self.bucket, Key=key)["ContentType"]

    def _listed(self) -> dict[str, dict[str, Any]]:
        pages = self._owner.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {each["Key"]: each for page in pages for each in page.get("Contents", [])}

    def _read(self, key: str) -> bytes:
        return self._owner.get_object(Bucket=self.bucket, Key=key)["Body"].read()


@pytest.fixture(params=["strict", pytest.param("ceph", marks=pytest.mark.real)])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    """Yield each account in turn: the same cases have to hold on all of them."""
    if request.param == "ceph":
        ceph = Ceph(json.loads(Path(os.environ[REAL_STORE]).read_text()))
        ceph.empty()
        yield ceph
        return
    with partner_process(spool=tmp_path / "spool") as process:
        yield Strict(process)


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[PartnerProcess]:
    """Yield the strict partner account, for tests that need its faults."""
    with partner_process(spool=tmp_path / "spool") as process:
        yield process


@dataclass
class Site:
    """Account A's side: a directory with roots, a configuration and credentials; and the command that runs on it."""

    home: Path
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    under: list[str] = field(default_factory=list)
    """A command that runs the daemon's, such as ``unshare``."""
    stderr_files: list[Path] = field(default_factory=list)
    """The directory of everything that the commands wrote."""

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def state_dir(self) -> Path:
        return self.home / "state"

    @property
    def config_file(self) -> Path:
        return self.home / "config.yaml"

    @property
    def external_id_file(self) -> Path:
        return self.home / "external_id"

    @property
    def route(self) -> dict[str, Any]:
        """The first route of the configuration; ``write`` makes changes to it count."""
        return self.config["routes"][0]

    @property
    def destination(self) -> dict[str, Any]:
        """The destination ``partner`` of the configuration."""
        return self.config["destinations"]["partner"]

    def write(self, **changes: Any) -> None:
        """Write the configuration; ``changes`` go into the first route."""
        self.route.update(changes)
        self.config_file.write_text(json.dumps(self.config))

    def in_parts(self) -> None:
        """Send files of 5 MiB and more in parts of 5 MiB, the least that S3 accepts."""
        self.config["transfer"] = {"multipart_threshold": "5MiB", "part_size": "5MiB"}
        self.write()

    def add(self, name: str, content: bytes = b"") -> Path:
        """Write a file below the root in place."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def crosshaul(self, verb: str, *arguments: str, timeout: float = _PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        done = subprocess.run(
            self._command(verb, *arguments),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
            env=self._env(),
            check=False,
        )
        self._stderr().write_text(done.stderr, errors="surrogateescape")
        if "--show-external-id" not in arguments:
            self._stderr().write_text(done.stdout, errors="surrogateescape")
        return done

    def push(self, *arguments: str) -> str:
        """Run a push that has to deliver everything; return its one line."""
        done = self.crosshaul("push", *arguments)
        assert (done.returncode, complaints(done.stderr)) == (0, []), done
        return done.stdout.strip()

    def status(self) -> dict[str, Any]:
        """Return the output of ``status --json``."""
        done = self.crosshaul("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the output of ``list --json``, by path."""
        done = self.crosshaul("list", "--json")
        assert done.returncode == 0, done.stderr
        return {each["path"]: each for each in map(json.loads, done.stdout.splitlines())}

    @contextlib.contextmanager
    def daemon(self, *arguments: str) -> Iterator[Daemon]:
        """Run the daemon during the block, from when it is up; kill it at the end."""
        log = self._stderr()
        with log.open("wb") as stderr:
            process = subprocess.Popen(self._command("run", *arguments), stderr=stderr, env=self._env())
        daemon = Daemon(process, log)
        try:
            until(lambda: daemon.events("started") or process.poll() is not None)
            yield daemon
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=_PATIENCE)

    def _stderr(self) -> Path:
        self.stderr_files.append(self.home / f"stderr-{len(self.stderr_files)}")
        return self.stderr_files[-1]

    def _command(self, verb: str, *arguments: str) -> list[str]:
        return [*self.under, sys.executable, "-m", "crosshaul", verb, "-c", str(self.config_file), *arguments]

    def _env(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CROSSHAUL_"))}
        return clean | {"AWS_EC2_METADATA_DISABLED": "true"} | self.environment


@dataclass
class Daemon:
    """A running `crosshaul run`."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the log so far, as JSON; only events of these names, if any are given."""
        lines = self.log.read_text().split("\n")[:-1]  # the last may still be being written
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [each for each in events if not names or each["event"] in names]

    def event(self, *names: str) -> dict[str, Any]:
        """The first event of these names, as soon as it is in the log.

        A thread writes the log: a bucket, a page or the service manager may show a thing some moments before its line.
        """
        until(lambda: self.events(*names))
        return self.events(*names)[0]

    def complaints(self) -> list[str]:
        """The lines so far that are for a person."""
        return complaints(self.log.read_text())

    def wait(self, timeout: float = _PATIENCE) -> int:
        """Return its exit code."""
        return self.process.wait(timeout=timeout)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.process.wait(timeout=_PATIENCE)


def made_for(account: Way, home: Path, **route: Any) -> Site:
    """Make Account A's side for an account, in ``home``; keyword arguments go into the route."""
    site = Site(home)
    site.root.mkdir(parents=True)
    site.external_id_file.write_text(account.external_id or "")
    site.environment = {
        "AWS_ACCESS_KEY_ID": account.access_key_id,
        "AWS_SECRET_ACCESS_KEY": account.secret_access_key,
    }
    site.config = {
        "state_dir": str(site.state_dir),
        "identity": {"sts_endpoint_url": account.sts_endpoint_url},
        "destinations": {"partner": destination(account, site.external_id_file)},
        "routes": [
            {
                "name": "r",
                "path": str(site.root),
                "destination": "partner",
                "settle": {"quiet": "200ms"},
                **route,
            }
        ],
        "retry": {"initial": "200ms", "max": "1s"},
        "http": {"listen": None},
        "log": {"format": "json"},
    }
    site.write()
    return site


@pytest.fixture
def site_for(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Make Account A's side for an account; keyword arguments go into the route.

    Whatever a test does, no command may answer with a traceback, and no secret may stand in its output or its state.
    """
    sites: list[tuple[Site, Way]] = []

    def make(account: Way, **route: Any) -> Site:
        sites.append((made_for(account, tmp_path / f"site-{len(sites)}", **route), account))
        return sites[-1][0]

    yield make
    for site, account in sites:
        outputs = [path.read_bytes() for path in site.stderr_files]
        assert not [each for each in outputs if b"Traceback" in each or b'"exception"' in each]
        kept = (
            [path.read_bytes() for path in site.state_dir.glob("*") if path.is_file()]
            if site.state_dir.is_dir()
            else []
        )
        for secret in _secrets(site, account):
            assert not [each for each in (*outputs, *kept) if secret.encode() in each], "a secret was printed"


def _secrets(site: Site, account: Way) -> set[str]:
    """Return all secrets of a site and its account."""
    process: Any = getattr(account, "process", account)
    minted: list[str] = []
    with contextlib.suppress(OSError, AttributeError):
        minted = process.secrets()
    files = [site.external_id_file.read_text().split()] if site.external_id_file.exists() else [[]]
    known = {account.secret_access_key, account.external_id or "", *minted, *files[0]}
    return {each for each in known if len(each) >= _SECRET}


def destination(account: Way, external_id_file: Path) -> dict[str, Any]:
    """The entry under ``destinations`` for an account."""
    return {
        "bucket": account.bucket,
        "role_arn": account.role_arn,
        "external_id_file": str(external_id_file),
        "endpoint_url": account.endpoint_url,
    }


def complaints(stderr: str) -> list[str]:
    """The lines for a person, as opposed to the log's."""
    return [line for line in stderr.splitlines() if not line.startswith("{")]


def until(condition: Callable[[], object], timeout: float = _PATIENCE) -> None:
    """Wait for a condition; fail with its last value."""
    end = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < end:
        last = condition()
        if last:
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout} s; last: {last!r}")


def is_empty(root: Path) -> bool:
    """True if there is no file below ``root``."""
    return not any(names for _, _, names in os.walk(root))


def sha256_of(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every regular file below ``root``, by relative path."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    found[str(path.relative_to(root))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
