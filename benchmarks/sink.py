"""A store that takes everything, 20,000 PUTs a second and more over TLS: nginx with its Lua module, Debian's packages.

It answers PutObject, the multipart calls, AssumeRole and an empty list, echoes the checksum that it is given, and
counts: what is measured is the tool, and whether everything arrived is the store's word and not the tool's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certificate import self_signed

HERE = Path(__file__).parent / "sink"


@dataclass(frozen=True)
class Sink:
    """The store at work, on loopback."""

    directory: Path
    https_port: int
    http_port: int
    pid: int

    @property
    def ca(self) -> Path:
        """The authority of its certificate."""
        return self.directory / "sink.pem"

    def url(self, *, tls: bool) -> str:
        """The address of S3 and STS."""
        return f"https://127.0.0.1:{self.https_port}" if tls else f"http://127.0.0.1:{self.http_port}"

    def counters(self) -> dict[str, Any]:
        """Return what has arrived since the last ``reset``."""
        return json.loads(self._ask("counters"))

    def reset(self) -> None:
        """Reset the counts."""
        self._ask("reset")

    def round_trip(self, seconds: float) -> None:
        """Delay each response by this time from now on."""
        self._ask(f"round-trip?seconds={seconds}")

    def list_million(self, directories: int) -> None:
        """Make the bucket list a thousand files in each of this many directories (0: it is empty)."""
        self._ask(f"listing?directories={directories}")

    def acknowledged(self) -> dict[str, float]:
        """Return the time of each response (seconds since the epoch), by path; recorded from the first call on."""
        return dict(json.loads(self._ask("acknowledged")))

    def cpu_seconds(self) -> float:
        """Return the processor time used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _ask(self, what: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/-/{what}", timeout=30) as answer:
            return answer.read()


@contextmanager
def sink() -> Iterator[Sink]:
    """The store, for as long as the block lasts."""
    _require("nginx", "nginx libnginx-mod-http-lua")
    with tempfile.TemporaryDirectory(prefix="crosshaul-sink-") as name:
        directory, ports = Path(name), (free_port(), free_port())
        self_signed(directory)
        shutil.copy(HERE / "store.lua", directory)
        text = (HERE / "nginx.conf").read_text().replace("DIRECTORY", name)
        text = text.replace("HTTPS_PORT", str(ports[0])).replace("HTTP_PORT", str(ports[1]))
        (directory / "nginx.conf").write_text(text)
        command = ["nginx", "-p", name, "-e", f"{name}/error.log", "-c", f"{name}/nginx.conf"]
        with subprocess.Popen(command) as nginx:
            try:
                yield _ready(Sink(directory, *ports, nginx.pid), nginx)
            finally:
                nginx.send_signal(signal.SIGTERM)


def _ready(store: Sink, nginx: subprocess.Popen[bytes]) -> Sink:
    end = time.monotonic() + 10
    while time.monotonic() < end and nginx.poll() is None:
        try:
            store.reset()
        except OSError:
            time.sleep(0.05)
        else:
            return store
    sys.exit(f"nginx did not come up: {(store.directory / 'error.log').read_text()[-500:]}")


def _require(command: str, packages: str) -> None:
    if shutil.which(command) is None:
        sys.exit(f"{command} is missing: apt-get install {packages}")


def free_port() -> int:
    """Return a loopback port on which no program listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
