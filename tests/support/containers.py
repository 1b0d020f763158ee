"""The image under a real container runtime, as tests/container/run made it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from support.partner_fixtures import PartnerProcess

USER = 10001
IMAGE = "localhost/crosshaul"
BASE = "localhost/crosshaul-base"
PODMAN = str(Path(__file__).parents[1] / "container" / "podman")
HARDENED = ["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a podman command to its end."""
    return subprocess.run([PODMAN, *arguments], capture_output=True, text=True, timeout=120, check=False)


class Pod:
    """A container with a directory of exports and one for the state."""

    def __init__(self, home: Path, account: PartnerProcess) -> None:
        self.home, self.account = home, account
        for name in ("exports", "state"):
            # As a kubelet creates a volume: owned by root and the pod's group, not by the container's user.
            (home / name).mkdir()
            os.chown(home / name, 0, USER)
            (home / name).chmod(0o2777)
        (home / "external_id").write_text(account.external_id or "")
        (home / "external_id").chmod(0o444)
        self.configure()

    def configure(self, **more: object) -> None:
        self.config = {
            "state_dir": "/var/lib/crosshaul/state",
            "identity": {"sts_endpoint_url": self.account.sts_endpoint_url},
            "destinations": {
                "partner": {
                    "bucket": self.account.bucket,
                    "endpoint_url": self.account.endpoint_url,
                    "role_arn": self.account.role_arn,
                    "external_id_file": "/run/secrets/external_id",
                }
            },
            "routes": [{"name": "r", "path": "/exports", "destination": "partner", "settle": {"quiet": "200ms"}}],
            "http": None,
            **more,
        }
        (self.home / "config.yaml").write_text(json.dumps(self.config))
        (self.home / "config.yaml").chmod(0o444)

    def keys(self) -> dict[str, str]:
        """Return Account A's credentials as environment variables."""
        return {
            "AWS_ACCESS_KEY_ID": self.account.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.account.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextlib.contextmanager
    def running(self, *arguments: str, options: Iterable[str] = (), **environment: str) -> Iterator[subprocess.Popen]:
        """Run the container during the block; kill it at the end."""
        mounts = {
            "config.yaml": "/etc/crosshaul/config.yaml:ro",
            "external_id": "/run/secrets/external_id:ro",
            "exports": "/exports:ro",
            "state": "/var/lib/crosshaul",
        }
        output = [part for name, value in (self.keys() | environment).items() for part in ("-e", f"{name}={value}")]
        output += [part for name, there in mounts.items() for part in ("-v", f"{self.home / name}:{there}")]
        log = (self.home / "log").open("ab")
        command = [PODMAN, "run", "--rm", "--pidfile", str(self.home / "pid"), *HARDENED, *output, *options]
        process = subprocess.Popen([*command, IMAGE, *arguments], stdout=log, stderr=log)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
                os.kill(self.pid(), signal.SIGKILL)
            process.wait(timeout=60)
            log.close()

    def pid(self) -> int:
        """Return the daemon's pid, seen from outside."""
        return int((self.home / "pid").read_text())

    def log(self) -> str:
        return (self.home / "log").read_text()

    def put(self, name: str, content: bytes) -> None:
        (self.home / "exports" / name).write_bytes(content)

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user."""
        enter = ["nsenter", "-t", str(self.pid()), "-m", "-p", "-S", str(USER), "-G", str(USER), "--"]
        environment = {"PATH": "/opt/crosshaul/bin:/usr/bin:/bin", "CROSSHAUL_CONFIG": "/etc/crosshaul/config.yaml"}
        return subprocess.run(
            [*enter, *command], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
