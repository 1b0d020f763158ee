"""Run `crosshaul run` against the sink, for measurements of the daemon instead of a push."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sink import Sink, free_port
from tools import Job, crosshaul


@dataclass(frozen=True)
class Daemon:
    """The daemon, and the directory that it watches."""

    root: Path
    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Return the processor time used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self, name: str = "VmRSS") -> float:
        """Present (VmRSS) or peak (VmHWM) resident memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    def status(self) -> dict[str, Any]:
        """Its ``/status.json``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status.json", timeout=10) as answer:
            return json.loads(answer.read())

    def wait_for(self, delivered: int, seconds: float = 120) -> None:
        """Wait until this many files are delivered."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.status()["delivered"] >= delivered:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise TimeoutError(f"not {delivered} files delivered after {seconds:.0f} s: {self.status()}")


@contextmanager
def daemon(
    root: Path, home: Path, sink: Sink, settings: Mapping[str, Any], *, url: str | None = None
) -> Iterator[Daemon]:
    """Run the daemon during the block. ``settings`` override the configuration; the route's are under ``route``."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    root.mkdir(parents=True, exist_ok=True)
    _, told = crosshaul(Job(root, home, sink, tls=True, large=False))
    port = free_port()
    config = json.loads((home / "config.yaml").read_text())
    config["routes"][0] |= settings.get("route", {})
    config |= {name: value for name, value in settings.items() if name != "route"}
    config |= {"http": {"listen": f"127.0.0.1:{port}"}, "log": {"format": "json", "level": "warning"}}
    if url is not None:
        config["destinations"]["partner"]["endpoint_url"] = url
    (home / "config.yaml").write_text(json.dumps(config))
    keys = {"AWS_ACCESS_KEY_ID": "AKIABENCHMARK0000000", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    command = [sys.executable, "-m", "crosshaul", "run", "-c", str(home / "config.yaml")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env=os.environ | keys | told)
        try:
            running = Daemon(root, process.pid, port)
            running.wait_for(0, 30)
            yield running
        finally:
            process.terminate()
            process.wait(60)
