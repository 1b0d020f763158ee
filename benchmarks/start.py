"""Measure the start-up of the commands: ``python benchmarks/start.py [ROUNDS]`` medians of wall and processor time.

Whole processes are measured, from the start of the interpreter to its end. The promise is 300 ms on an idle machine;
what is imported, which is what this time goes into, is held by tests/unit/cli/test_start.py.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 20
CONFIG = """
state_dir: {home}/state
destinations: {{partner: {{bucket: partner-inbox, role_arn: "arn:aws:iam::222222222222:role/r", external_id: x}}}}
routes: [{{name: exports, path: {home}, destination: partner}}]
"""


def once(arguments: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one run."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "crosshaul", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - started, used.ru_utime + used.ru_stime


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "config.yaml"
        config.write_text(CONFIG.format(home=home))
        verbs = [["--help"], ["run", "--help"]]
        verbs += [[*words, "-c", str(config)] for words in (["validate"], ["status"], ["status", "--json"], ["list"])]
        verbs += [["explain", "-c", str(config), home], ["policy", "-c", str(config), "--principal", "1" * 12]]
        for arguments in verbs:
            wall, processor = zip(*(once(arguments) for _ in range(rounds)), strict=True)
            name = " ".join(arguments).split(" -c ")[0]
            print(
                f"{name:<14} {statistics.median(wall) * 1e3:4.0f} ms, "
                f"of it {statistics.median(processor) * 1e3:4.0f} ms of the processor"
            )


if __name__ == "__main__":
    main()
