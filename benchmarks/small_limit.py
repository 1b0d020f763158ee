"""Measure the share of a low bandwidth limit that small files use: their bytes per second, against the limit.

python benchmarks/small_limit.py [--files 64] [--kb 60] [--kib-per-second 64]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from crosshaul.aws import http1
from crosshaul.model import State
from crosshaul.partner import PartnerAccount
from crosshaul.partner.settings import Settings
from support.pipeline import open_pipeline

_PATIENCE = 3600.0


async def measure(files: int, size: int, rate: int, home: Path) -> None:
    async with PartnerAccount(Settings(spool=home / "spool")) as account:
        os.environ |= {"AWS_ACCESS_KEY_ID": account.access_key_id, "AWS_SECRET_ACCESS_KEY": account.secret_access_key}
        limits = {"deadlines": http1.Deadlines(), "bytes_per_second": rate, "max_concurrency": 64}
        async with open_pipeline(account, home, running=False, **limits) as pipeline:
            for number in range(files):
                await pipeline.drop(f"{number}", os.urandom(size))
            began = time.monotonic()
            pipeline.start()
            for number in range(files):
                await pipeline.comes_to(f"{number}", State.DELIVERED, timeout=_PATIENCE)
            took = time.monotonic() - began
        calls = len(pipeline.calls("PutObject"))
    print(
        f"{files} files of {size:,} bytes at {rate:,} bytes/s: {took:.0f} s, "
        f"{files * size / took / rate:.1%} of the limit"
    )
    print(f"sent again: {calls - files}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--kb", type=int, default=60)
    parser.add_argument("--kib-per-second", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(measure(options.files, options.kb * 1000, options.kib_per_second * 1024, Path(home)))


if __name__ == "__main__":
    main()
