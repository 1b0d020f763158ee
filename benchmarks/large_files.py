"""Four files of 1 GiB at once with the default configuration: peak memory, and how late the event loop gets.

    python benchmarks/large_files.py [FILES] [MIB_EACH]

The lag is wall time: on a machine that is short of processors it holds waiting for one, too.
"""

from __future__ import annotations

import socket
import sys
import time

from stage import site


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(count: int, mib: int) -> int:
    began = time.monotonic()
    with site(port=free_port(), files={f"file-{number}": mib << 20 for number in range(count)}) as running:
        made = time.monotonic()
        running.wait_for(count, 600)
        took = time.monotonic() - made
        arrived = len(running.ask("objects"))
        memory, metrics = running.memory(), running.metrics()
    late = (
        metrics['crosshaul_loop_lag_seconds_bucket{le="+Inf"}'] - metrics['crosshaul_loop_lag_seconds_bucket{le="0.1"}']
    )
    print(f"{arrived} of {count} files of {mib} MiB in {took:.1f} s ({made - began:.0f} s to make them),")
    print(f"peak memory {memory['VmHWM']} MiB (now {memory['VmRSS']} MiB),")
    print(f"loop lag: worst {metrics['crosshaul_loop_lag_max_seconds'] * 1000:.0f} ms, {late:.0f} times over 100 ms.")
    return 0 if arrived == count else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in [*sys.argv[1:], *["4", "1024"][len(sys.argv) - 1 :]])))
