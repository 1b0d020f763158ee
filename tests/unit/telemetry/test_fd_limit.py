"""The descriptor limit, and the log when descriptors run out."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys

from crosshaul.telemetry.fd_limit import AcceptErrorHandler

CODE = """
import resource
from crosshaul.telemetry.fd_limit import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))
raise_descriptor_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    """The soft limit is raised to the hard limit, at most to 65,536."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4096", "4096"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)


class Log:
    def __init__(self) -> None:
        self.counts: list[int] = []

    def warning(self, _event: str, *, error: str, count: int) -> None:
        self.counts.append(count)


async def test_a_storm_of_refused_connections_is_a_few_lines() -> None:
    """Asyncio's errors of accept() are logged at doublings; other errors go to its default handler."""
    log, loop = Log(), asyncio.get_running_loop()
    handler = AcceptErrorHandler(log)  # type: ignore[arg-type]
    for _ in range(1000):
        handler(loop, {"message": "socket.accept() out of system resource", "exception": OSError(24, "x")})
    assert log.counts == [2**power for power in range(10)]
    handler(loop, {"message": "another"})
    assert len(log.counts) == 10
