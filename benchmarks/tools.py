"""The tools that are compared, each at its best settings, and what a run of one costs.

The peers come from the package index into a virtual environment of their own (``make bench``; requirements/bench.txt).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sink import Sink

PEERS = Path(os.environ.get("CROSSHAUL_PEERS", Path(__file__).parents[1] / ".venv-bench" / "bin"))
BUCKET = "bench"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIABENCHMARK0000000",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_SESSION_TOKEN": "SessionToken" * 80,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def session() -> dict[str, str]:
    """The environment of a session's credentials."""
    return dict(_CREDENTIALS)


@dataclass(frozen=True)
class Cost:
    """One run, from its start to its end. ``rss``: the largest process's peak, in bytes."""

    seconds: float
    cpu: float
    rss: int
    code: int


@dataclass(frozen=True)
class Job:
    """A tree to be sent to the sink. ``home`` is a directory for the tool's own files."""

    source: Path
    home: Path
    sink: Sink
    tls: bool
    large: bool
    """True for a few large files, for which some tools have other settings."""

    @property
    def url(self) -> str:
        """The address of the store."""
        return self.sink.url(tls=self.tls)


def crosshaul(job: Job) -> tuple[list[str], dict[str, str]]:
    """Run ``push`` completely, with its defaults: scan, journal, checksums, receipts."""
    state = job.home / "state"
    config = {
        "state_dir": str(state),
        "identity": {"sts_endpoint_url": job.url},
        "destinations": {
            "partner": {
                "bucket": BUCKET,
                "role_arn": "arn:aws:iam::222222222222:role/partner-upload",
                "external_id": "benchmark-external-id",
                "endpoint_url": job.url,
                "tls_ca_bundle": str(job.sink.ca) if job.tls else None,
            }
        },
        "routes": [{"name": "bench", "path": str(job.source), "destination": "partner"}],
    }
    (job.home / "config.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "crosshaul", "push", "-c", str(job.home / "config.yaml")]
    return command, {"AWS_CA_BUNDLE": str(job.sink.ca)}


def s5cmd(job: Job) -> tuple[list[str], dict[str, str]]:
    """Its default of 256 workers loses to 64 here; parts of 8 MiB, many at once, for large files."""
    options = ["--numworkers", "64", "--endpoint-url", job.url]
    copy = ["cp", "--concurrency", "16", "--part-size", "8"] if job.large else ["cp"]
    command = [str(PEERS / "s5cmd"), *options, *copy, f"{job.source}/", f"s3://{BUCKET}/"]
    return command, {"SSL_CERT_FILE": str(job.sink.ca)}


def rclone(job: Job) -> tuple[list[str], dict[str, str]]:
    """Without its HEADs and without asking for the bucket; no MD5 of large files, which it would read twice."""
    remote = f":s3,provider=Other,env_auth=true,endpoint='{job.url}',region=us-east-1,force_path_style=true:{BUCKET}"
    options = ["--s3-no-check-bucket", "--s3-no-head", "--s3-disable-checksum", "--ignore-checksum", "--no-traverse"]
    options += ["--no-check-dest", "--transfers", "4" if job.large else "64", "--checkers", "16"]
    # With several streams a file it would ask for each object afterwards, whatever its options.
    options += ["--multi-thread-streams", "0", "--s3-upload-concurrency", "16", "--s3-chunk-size", "8M"]
    options += ["--config", os.devnull]
    command = [str(PEERS / "rclone"), "copy", str(job.source), remote, *options]
    return command, {"SSL_CERT_FILE": str(job.sink.ca)}


def aws(job: Job) -> tuple[list[str], dict[str, str]]:
    """Many requests at once; no checksum of its own over TLS."""
    settings = f"[default]\ns3 =\n  max_concurrent_requests = {16 if job.large else 64}\n  max_queue_size = 10000\n"
    (job.home / "aws-config").write_text(settings)
    command = [str(PEERS / "aws"), "s3", "cp", "--recursive", "--only-show-errors", "--endpoint-url", job.url]
    told = {"AWS_CONFIG_FILE": str(job.home / "aws-config"), "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
    return [*command, str(job.source), f"s3://{BUCKET}/"], told | {"AWS_CA_BUNDLE": str(job.sink.ca)}


def rclone_again(job: Job) -> tuple[list[str], dict[str, str]]:
    """A second pass, which compares with what the bucket lists; by size alone, or it would ask for each object."""
    command, told = rclone(job)
    return [each for each in command if each not in {"--no-traverse", "--no-check-dest"}] + [
        "--fast-list",
        "--size-only",
        "--s3-list-version",
        "2",
    ], told


def aws_again(job: Job) -> tuple[list[str], dict[str, str]]:
    """The same by ``aws s3 sync``."""
    command, told = aws(job)
    start = command.index("cp")
    options = [each for each in command[start + 1 :] if each != "--recursive"]
    return [*command[:start], "sync", "--size-only", *options], told


Tool = Callable[[Job], tuple[list[str], dict[str, str]]]
TOOLS: Mapping[str, Tool] = {"crosshaul": crosshaul, "s5cmd": s5cmd, "rclone": rclone, "aws s3 cp": aws}


def run(tool: Tool, job: Job) -> Cost:
    """Run a tool from an empty state: an empty home, and a reset sink."""
    shutil.rmtree(job.home, ignore_errors=True)
    job.home.mkdir(parents=True)
    job.sink.reset()
    command, told = tool(job)
    return cost_of(command, session() | told, job.home / "output")


def cost_of(command: Sequence[str], told: Mapping[str, str], output: Path) -> Cost:
    """Return the cost of a command, all its processes together."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | dict(told)
    with output.open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(took, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, process.returncode)


def peers() -> list[str]:
    """Return the installed tools."""
    found = [name for name in TOOLS if name == "crosshaul" or (PEERS / name.split()[0]).exists()]
    missing = [name for name in TOOLS if name not in found]
    if missing:
        print(f"not here, and left out: {', '.join(missing)} (make bench brings them)", file=sys.stderr)
    return found
