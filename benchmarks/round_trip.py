"""Measure the share of the rate that the round trip allows: the sink delays each response by 50 ms.

python benchmarks/round_trip.py [--files 20000]
"""

from __future__ import annotations

import argparse

from measuring import SCRATCH, Work, once, recorded
from sink import sink
from tools import Job, crosshaul

ROUND_TRIP = 0.05
MOST = 64
"""transfer.max_concurrency, as it is by default."""
_START = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    options = parser.parse_args()
    few, many = (Work(f"{count:,} files of 4 KiB", [(count, 4096)]) for count in (_START, options.files))
    with sink() as store, recorded("round-trip") as figures:
        store.round_trip(ROUND_TRIP)
        took = {}
        for work in (few, many):
            cost, wrong = once(crosshaul, Job(work.tree(), SCRATCH / "home", store, tls=True, large=False), work)
            took[work.count] = cost.seconds
            figures[f"wrong at {work.count}"] = wrong
        # The difference of the two is without the start.
        rate = (many.count - few.count) / (took[many.count] - took[few.count])
        limit = MOST / ROUND_TRIP
        figures |= {"objects_per_second": rate, "limit": limit, "share": rate / limit, "seconds": took}
        print(f"{rate:,.0f} objects/s of {limit:,.0f}: {rate / limit:.0%}")


if __name__ == "__main__":
    main()
