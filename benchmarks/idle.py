"""Measure the cost of an idle daemon that watches 10,000 directories.

python benchmarks/idle.py [--seconds 120] [--directories 10000]
"""

from __future__ import annotations

import argparse
import time

from daemon_site import daemon
from measuring import SCRATCH, recorded
from sink import sink


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--directories", type=int, default=10_000)
    options = parser.parse_args()
    root = SCRATCH / f"idle-{options.directories}"
    for number in range(options.directories):
        (root / f"{number // 100:03}" / f"{number % 100:02}").mkdir(parents=True, exist_ok=True)
    (root / "one").write_bytes(b"x")
    with sink() as store, recorded("idle") as figures, daemon(root, SCRATCH / "home", store, {}) as running:
        running.wait_for(1)
        time.sleep(10)
        before = running.cpu_seconds()
        time.sleep(options.seconds)
        used = (running.cpu_seconds() - before) / options.seconds
        figures |= {
            "share_of_a_core": used,
            "rss_mib": running.memory_mib(),
            "peak_rss_mib": running.memory_mib("VmHWM"),
        }
        print(f"{used:.2%} of a core, {figures['rss_mib']:.0f} MiB (peak {figures['peak_rss_mib']:.0f} MiB)")


if __name__ == "__main__":
    main()
