"""Lives of the daemon: real processes of `crosshaul run` that are killed, forked from one that has imported it all.

Only the imports are shared, so that a thousand lives take minutes: each life opens its own journal, threads and
connections, and dies by SIGKILL as the kernel would have it.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crosshaul.cli import run as _run  # noqa: F401
from crosshaul.cli.main import main

# Imported for the children, which inherit the modules by the fork.
from crosshaul.service import daemon as _daemon  # noqa: F401
from support.partner_fixtures import PartnerProcess

_UNCAUGHT = 70


@dataclass
class Life:
    """One process."""

    pid: int
    status: int | None = None

    def over(self) -> bool:
        """True if the process has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def end(self, number: int, patience: float = 60.0) -> int:
        """Signal the process and wait for its end; return its exit code, or minus the signal's number."""
        if not self.over():
            os.kill(self.pid, number)
        until = time.monotonic() + patience
        while not self.over():
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"it did not end within {patience} s of signal {number}")
            time.sleep(0.005)
        assert self.status is not None
        return self.status


@contextmanager
def life(
    config: Path, log: Path, environment: dict[str, str], prepare: Callable[[], None] | None = None
) -> Iterator[Life]:
    """`crosshaul run` in a process of its own, after ``prepare``; killed at the end of the block."""
    pid = os.fork()
    if not pid:
        _live(config, log, environment, prepare)
    born = Life(pid)
    try:
        yield born
    finally:
        born.end(signal.SIGKILL)


def _live(config: Path, log: Path, environment: dict[str, str], prepare: Callable[[], None] | None) -> None:
    """Run the child; never returns."""
    code = _UNCAUGHT
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(environment)
        if prepare is not None:
            prepare()
        sys.argv[1:] = ["run", "-c", str(config)]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else _UNCAUGHT
    except BaseException:  # noqa: BLE001 - reported, because the child ends without output
        traceback.print_exc()
    finally:
        os._exit(code)


def unfinished(state_dir: Path) -> list[tuple[str, str]]:
    """Return path and state of each file that is neither delivered nor gone, also from a journal in use."""
    return [(path, state) for path, state in _rows(state_dir, "SELECT path, state FROM files") if state not in _AT_REST]


_AT_REST = {"delivered", "gone"}


def integrity(state_dir: Path) -> str:
    """Return the result of SQLite's own check of the journal: ``ok``."""
    return _rows(state_dir, "PRAGMA integrity_check")[0][0]


def _rows(state_dir: Path, query: str) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(f"file:{state_dir / 'journal.db'}?mode=ro", uri=True, timeout=10)
    try:
        return [
            tuple(os.fsdecode(each) if isinstance(each, bytes) else each for each in row)
            for row in connection.execute(query)
        ]
    finally:
        connection.close()


def configuration(
    account: PartnerProcess, home: Path, prefix: str, routes: dict[str, dict[str, object]]
) -> dict[str, object]:
    """A configuration with quick timings; ``routes`` are options by name, and each has a root of its own name."""
    return {
        "state_dir": str(home / "state"),
        "identity": {"sts_endpoint_url": account.sts_endpoint_url},
        "destinations": {
            "partner": {
                "bucket": account.bucket,
                "role_arn": account.role_arn,
                "external_id": account.external_id,
                "endpoint_url": account.endpoint_url,
                "key_prefix": prefix,
            }
        },
        "routes": [
            {"name": name, "path": str(home / name), "destination": "partner", "key": "{route}/{path}",
             "settle": {"quiet": "50ms"}, **options}
            for name, options in routes.items()
        ],
        "transfer": {"multipart_threshold": "5MiB", "part_size": "5MiB"},
        "retry": {"initial": "50ms", "max": "200ms"},
        "http": {"listen": None},
        "log": {"format": "json"},
    }  # fmt: skip


def credentials(account: PartnerProcess) -> dict[str, str]:
    """Account A's user, for a life's environment."""
    return {
        "AWS_ACCESS_KEY_ID": account.access_key_id,
        "AWS_SECRET_ACCESS_KEY": account.secret_access_key,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
