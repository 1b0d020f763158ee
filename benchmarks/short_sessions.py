"""Sessions of a few seconds while files keep coming.

    python benchmarks/short_sessions.py [SECONDS] [SESSION_SECONDS]

Is any upload refused for its credentials, and how often is STS asked? Runs the real daemon against the strict partner
account, both in processes of their own on loopback. Prints the files delivered, the tries that failed, the AssumeRole
calls beside duration / lifetime, and the daemon's peak memory.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from stage import site

_FAILURES = {"upload_failed", "file_quarantined", "destination_parked"}


def main(seconds: float, lifetime: float) -> int:
    with site(session_seconds=lifetime) as running:
        dropped = drop_for(running.root, seconds)
        running.wait_for(dropped)
        memory = running.memory()
        objects, calls, events = running.ask("objects"), running.ask("calls"), running.events()
    failed = [event for event in events if event in _FAILURES]
    refused = [call for call in calls if call["status"] and call["status"] >= 400]
    assumed = sum(call["operation"] == "AssumeRole" for call in calls)
    print(f"{seconds:.0f} s, sessions of {lifetime:.0f} s: {dropped} files dropped, {len(objects)} in the bucket,")
    print(f"{sum(each['writes'] > 1 for each in objects)} written twice, {len(failed)} failures in the log,")
    print(f"{len(refused)} calls refused; AssumeRole {assumed} times, duration / lifetime = {seconds / lifetime:.1f};")
    print(f"{len(calls)} calls in all; the daemon's peak memory {memory['VmHWM']} MiB.")
    return 0 if len(objects) == dropped and not failed else 1


def drop_for(root: Path, seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        (root / f"{count:06}.bin").write_bytes(os.urandom(12_000_000 if count % 50 == 49 else 20_000))
        count += 1
        time.sleep(0.1)
    return count


if __name__ == "__main__":
    sys.exit(main(*(float(argument) for argument in [*sys.argv[1:], *["60", "15"][len(sys.argv) - 1 :]])))
