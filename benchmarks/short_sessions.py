"""Sessions of a few seconds while files keep coming.

    python benchmarks/short_sessions.py [SECONDS] [SESSION_SECONDS]

Is any upload refused for its credentials, and how often is STS asked? Runs the real daemon against the strict partner
account, both in processes of their own on loopback. Prints the files delivered, the tries that failed, the AssumeRole
calls beside duration / lifetime, and the daemon's peak memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path


def main(seconds: float, session_seconds: float) -> int:
    with tempfile.TemporaryDirectory(prefix="crosshaul-bench-") as home:
        partner = [sys.executable, "-m", "crosshaul.partner", "--session-seconds", str(session_seconds)]
        with subprocess.Popen([*partner, "--spool", f"{home}/spool"], stdout=subprocess.PIPE, text=True) as account:
            try:
                return measure(Path(home), json.loads(account.stdout.readline()), seconds, session_seconds)
            finally:
                account.terminate()


def measure(home: Path, told: dict[str, str], seconds: float, session_seconds: float) -> int:
    root = home / "root"
    root.mkdir()
    config = {
        "state_dir": f"{home}/state",
        "identity": {"sts_endpoint_url": told["sts_endpoint_url"]},
        "destinations": {
            "partner": {name: told[name] for name in ("bucket", "role_arn", "external_id", "endpoint_url")}
        },
        "routes": [{"name": "r", "path": str(root), "settle": {"quiet": "200ms"}}],
        "http": {"listen": None},
        "log": {"format": "json"},
    }
    (home / "config.yaml").write_text(json.dumps(config))
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": told["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": told["secret_access_key"],
    }
    command = [sys.executable, "-m", "crosshaul", "run", "-c", f"{home}/config.yaml"]
    with (home / "log").open("wb") as log, subprocess.Popen(command, stderr=log, env=environment) as daemon:
        dropped = drop_for(root, seconds)
        wait_for(told, dropped)
        peak = next(line for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines() if "VmHWM" in line)
        daemon.terminate()
    return report(home, told, dropped, seconds, session_seconds, peak.split()[1])


def drop_for(root: Path, seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        (root / f"{count:06}.bin").write_bytes(os.urandom(12_000_000 if count % 50 == 49 else 20_000))
        count += 1
        time.sleep(0.1)
    return count


def ask(told: dict[str, str], what: str) -> list[dict]:
    with urllib.request.urlopen(f"{told['control_url']}/{what}", timeout=60) as answer:
        return json.loads(answer.read())


def wait_for(told: dict[str, str], count: int) -> None:
    end = time.monotonic() + 60
    while len(ask(told, "objects")) < count and time.monotonic() < end:
        time.sleep(0.5)


def report(home: Path, told: dict[str, str], dropped: int, seconds: float, lifetime: float, peak_kib: str) -> int:
    objects = ask(told, "objects")
    calls = ask(told, "calls")
    refused = [call for call in calls if call["status"] and call["status"] >= 400]
    events = [json.loads(line)["event"] for line in (home / "log").read_text().splitlines()]
    failed = [event for event in events if event in {"upload_failed", "file_quarantined", "destination_parked"}]
    assumed = sum(call["operation"] == "AssumeRole" for call in calls)
    print(f"{seconds:.0f} s, sessions of {lifetime:.0f} s: {dropped} files dropped, {len(objects)} in the bucket,")
    print(f"{sum(each['writes'] > 1 for each in objects)} written twice, {len(failed)} failures in the log,")
    print(f"{len(refused)} calls refused; AssumeRole {assumed} times, duration / lifetime = {seconds / lifetime:.1f};")
    print(f"{len(calls)} calls in all; the daemon's peak memory {int(peak_kib) / 1024:.0f} MiB.")
    return 0 if len(objects) == dropped and not failed else 1


if __name__ == "__main__":
    sys.exit(main(*(float(argument) for argument in [*sys.argv[1:], "60", "15"][:2])))
