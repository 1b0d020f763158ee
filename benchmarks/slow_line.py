"""Measure whether a multipart file crosses a slow uplink once: bytes and time, compared with the ideal.

python benchmarks/slow_line.py [--kbit 512] [--mib 8]

The line is a relay with one token bucket for all connections. A file of 64 MiB at 512 kbit/s takes 17 minutes; by
default an eighth of it is sent, with parts of 5 MiB, the least that S3 takes. The ratios are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from crosshaul.aws import http1
from crosshaul.model import State
from crosshaul.partner import PartnerAccount
from crosshaul.partner.settings import Settings
from support.pipeline import MIB, open_pipeline
from support.slow_line import slow_line

_PATIENCE = 3600.0


async def measure(kbit: int, mib: int, home: Path) -> None:
    rate, size = kbit * 1000 / 8, mib * MIB
    async with PartnerAccount(Settings(spool=home / "spool")) as account:
        os.environ |= {"AWS_ACCESS_KEY_ID": account.access_key_id, "AWS_SECRET_ACCESS_KEY": account.secret_access_key}
        async with slow_line(urlsplit(account.endpoint_url).port or 80, rate) as line:
            endpoint = f"http://127.0.0.1:{line.port}"
            async with open_pipeline(account, home, deadlines=http1.Deadlines(), endpoint_url=endpoint) as pipeline:
                began = time.monotonic()
                await pipeline.drop("file", os.urandom(size))
                await pipeline.comes_to("file", State.DELIVERED, timeout=_PATIENCE)
                took = time.monotonic() - began
    sent = Counter(call.part for call in pipeline.calls("UploadPart"))
    print(f"{mib} MiB at {kbit} kbit/s: {took:.0f} s, {took * rate / size:.1%} of the ideal time")
    again = sum(sent.values()) - len(sent)
    print(f"{line.carried / size:.1%} of the file's bytes went over the line; parts sent again: {again}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kbit", type=int, default=512)
    parser.add_argument("--mib", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(measure(options.kbit, options.mib, Path(home)))


if __name__ == "__main__":
    main()
