"""The image as the Containerfile makes it, under a real container runtime."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from partner_fixtures import partner_process
from system_fixtures import until

pytestmark = pytest.mark.container
USER = 10001
# A hybrid tree of control groups, as some machines have, is none that the runtime knows: it gets one of its own.
OWN_CGROUPS = """
umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec podman --cgroup-manager=cgroupfs "$@"
"""
HARDENED = [
    "--cgroups=disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--network", "host",
    "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges",
]  # fmt: skip


def podman(*arguments):
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", OWN_CGROUPS, "podman", *arguments]


@pytest.fixture
def account(tmp_path):
    with partner_process(spool=tmp_path / "spool") as process:
        yield process


class Pod:
    """A container with a directory of exports and one for the state."""

    def __init__(self, home, account):
        self.home, self.account = home, account
        for name in ("exports", "state"):
            (home / name).mkdir()
            os.chown(home / name, USER, USER)
        (home / "state").chmod(0o700)
        (home / "external_id").write_text(account.external_id)
        (home / "external_id").chmod(0o444)
        self.configure()

    def configure(self, **more):
        config = {
            "state_dir": "/var/lib/crosshaul",
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
        (self.home / "config.yaml").write_text(json.dumps(config))
        (self.home / "config.yaml").chmod(0o444)

    @contextlib.contextmanager
    def running(self, *arguments):
        keys = {
            "AWS_ACCESS_KEY_ID": self.account.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.account.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        mounts = {
            "config.yaml": "/etc/crosshaul/config.yaml:ro",
            "external_id": "/run/secrets/external_id:ro",
            "exports": "/exports:ro",
            "state": "/var/lib/crosshaul",
        }
        options = [part for name, value in keys.items() for part in ("-e", f"{name}={value}")]
        options += [part for name, there in mounts.items() for part in ("-v", f"{self.home / name}:{there}")]
        log = (self.home / "log").open("ab")
        command = podman("run", "--rm", "--pidfile", str(self.home / "pid"), *HARDENED, *options)
        image = os.environ["CROSSHAUL_IMAGE"]
        process = subprocess.Popen([*command, image, *arguments], stdout=log, stderr=log)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
                os.kill(self.pid(), signal.SIGKILL)
            process.wait(timeout=60)
            log.close()

    def pid(self):
        """Of the daemon, seen from outside."""
        return int((self.home / "pid").read_text())

    def log(self):
        return (self.home / "log").read_text()

    def put(self, name, content):
        (self.home / "exports" / name).write_bytes(content)

    def inside(self, *command):
        enter = ["nsenter", "-t", str(self.pid()), "-m", "-p", "-S", str(USER), "-G", str(USER), "--"]
        environment = {"PATH": "/opt/crosshaul/bin:/usr/bin:/bin", "CROSSHAUL_CONFIG": "/etc/crosshaul/config.yaml"}
        return subprocess.run(
            [*enter, *command], env=environment, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def pod(tmp_path, account):
    return Pod(tmp_path, account)


def test_a_file_is_delivered_and_sigterm_ends_it(pod, account):
    """As PID 1, without rights, on a read-only root: it delivers, is healthy, and ends with 0 at SIGTERM."""
    with pod.running() as process:
        until(lambda: "credentials_renewed" in pod.log())
        pod.put("a", b"from a container")
        until(lambda: "a" in account.objects())
        assert account.read("a") == b"from a container"
        healthy = pod.inside("crosshaul", "status", "--healthy", "--max-age", "15m")
        assert healthy.returncode == 0, healthy
        lines = Path(f"/proc/{pod.pid()}/status").read_text().splitlines()
        told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert told["Uid"].split()[0] == str(USER)
        assert told["NSpid"].split()[-1] == "1"
        assert (told["CapEff"].strip("0"), told["NoNewPrivs"]) == ("", "1")
        os.kill(pod.pid(), signal.SIGTERM)
        assert process.wait(timeout=60) == 0, pod.log()
    assert account.external_id not in pod.log()


def test_it_drains_at_sigterm_and_goes_on_with_its_state(pod, account):
    """A file on its way at SIGTERM arrives before the container ends; the next one knows what was delivered."""
    pod.configure(transfer={"multipart_threshold": "5MiB", "part_size": "5MiB", "memory_limit": "5MiB"})
    account.fault("delay", "UploadPart", rule={"times": None}, seconds=0.4)
    with pod.running() as process:
        until(lambda: "credentials_renewed" in pod.log())
        pod.put("large", bytes(20 << 20))
        until(lambda: account.calls("UploadPart"))
        os.kill(pod.pid(), signal.SIGTERM)
        assert process.wait(timeout=60) == 0, pod.log()
    assert len(account.read("large")) == 20 << 20
    with pod.running("push") as process:
        assert process.wait(timeout=60) == 0
    assert "there already" in pod.log()
    assert {each["writes"] for each in account.objects().values()} == {1}


def test_the_healthcheck_is_the_verb(pod):
    """The image carries the check that orchestrators run, and no user but its own."""
    inspected = subprocess.run(
        podman("image", "inspect", os.environ["CROSSHAUL_IMAGE"]), capture_output=True, text=True, check=True
    )
    (image,) = json.loads(inspected.stdout)
    assert image["Healthcheck"]["Test"] == ["CMD", "crosshaul", "status", "--healthy", "--max-age", "15m"]
    assert image["Config"]["User"] == "10001:10001"
    with pod.running("status", "--healthy") as process:
        assert process.wait(timeout=60) == 1  # no daemon is running
    assert "no daemon is running" in pod.log()
