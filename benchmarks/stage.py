"""Shared parts of the benchmarks of the whole daemon: the daemon and the strict account, each in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Shape = Callable[[dict[str, Any], Path], None]


@dataclass
class Site:
    """A home with a root to drop files into, and the account that they go to."""

    home: Path
    told: dict[str, str]
    daemon: subprocess.Popen[bytes]

    @property
    def root(self) -> Path:
        """The watched directory."""
        return self.home / "root"

    def ask(self, what: str) -> list[dict[str, Any]]:
        """The account's ``objects`` or ``calls``."""
        with urllib.request.urlopen(f"{self.told['control_url']}/{what}", timeout=60) as answer:
            return json.loads(answer.read())

    def fault(self, operation: str, key: str, probability: float | None = None, **action: object) -> None:
        """Make these calls fail from now on: all, or a random share."""
        rule = {"operation": operation, "key": key, "times": None, "probability": probability, "action": action}
        self._tell("POST", json.dumps(rule).encode())

    def clear_faults(self) -> None:
        """Let all calls succeed."""
        self._tell("DELETE", None)

    def _tell(self, method: str, body: bytes | None) -> None:
        request = urllib.request.Request(f"{self.told['control_url']}/faults", body, method=method)
        urllib.request.urlopen(request, timeout=60).close()

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Wait until this many objects exist, or the time is over."""
        end = time.monotonic() + seconds
        while len(self.ask("objects")) < count and time.monotonic() < end:
            time.sleep(0.2)

    def wait_for_event(self, name: str, seconds: float = 60) -> None:
        """Wait until the daemon has logged this, or the time is over."""
        end = time.monotonic() + seconds
        while name not in self.events() and time.monotonic() < end:
            time.sleep(0.05)

    def events(self) -> list[str]:
        """The names of the events in the daemon's log."""
        return [json.loads(line)["event"] for line in (self.home / "log").read_text().splitlines()]

    def memory(self) -> dict[str, int]:
        """The daemon's peak (VmHWM) and present (VmRSS) memory in MiB."""
        lines = Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) // 1024 for line in lines if line.startswith("Vm")}

    def metrics(self) -> dict[str, float]:
        """Return the values of ``/metrics``, by series."""
        port = next(iter((self.home / "port").read_text().split()))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@contextmanager
def site(
    port: int = 0, files: dict[str, int] | None = None, shape: Shape | None = None, **settings: object
) -> Iterator[Site]:
    """The daemon at work over the block; ``files`` (name -> bytes) are there before it starts.

    ``shape`` may change the configuration, and the home it is for, before the daemon sees them.
    """
    with tempfile.TemporaryDirectory(prefix="crosshaul-bench-") as home:
        command = [sys.executable, "-m", "crosshaul.partner", "--config", json.dumps(settings)]
        with subprocess.Popen([*command, "--spool", f"{home}/spool"], stdout=subprocess.PIPE, text=True) as account:
            try:
                with _daemon(Path(home), json.loads(account.stdout.readline()), port, files or {}, shape) as running:
                    yield running
            finally:
                account.terminate()


@contextmanager
def _daemon(home: Path, told: dict[str, str], port: int, files: dict[str, int], shape: Shape | None) -> Iterator[Site]:
    (home / "root").mkdir()
    for name, size in files.items():
        with (home / "root" / name).open("wb") as file:
            for offset in range(0, size, 1 << 24):
                file.write(os.urandom(min(1 << 24, size - offset)))
    destination = {name: told[name] for name in ("bucket", "role_arn", "external_id", "endpoint_url")}
    config = {
        "state_dir": f"{home}/state",
        "identity": {"sts_endpoint_url": told["sts_endpoint_url"]},
        "destinations": {"partner": destination},
        "routes": [{"name": "r", "path": f"{home}/root", "settle": {"quiet": "200ms"}}],
        "http": {"listen": f"127.0.0.1:{port}" if port else None},
        "log": {"format": "json"},
    }
    if shape is not None:
        shape(config, home)
    (home / "config.yaml").write_text(json.dumps(config))
    (home / "port").write_text(str(port))
    keys = {"AWS_ACCESS_KEY_ID": told["access_key_id"], "AWS_SECRET_ACCESS_KEY": told["secret_access_key"]}
    command = [sys.executable, "-m", "crosshaul", "run", "-c", f"{home}/config.yaml"]
    with (home / "log").open("wb") as log, subprocess.Popen(command, stderr=log, env=os.environ | keys) as daemon:
        try:
            yield Site(home, told, daemon)
        finally:
            daemon.terminate()
