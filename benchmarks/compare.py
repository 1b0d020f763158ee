"""Crosshaul beside s5cmd, rclone and the AWS CLI, in one run: small files, large files, a mixed tree, and by number.

python benchmarks/compare.py [small] [large] [large-http] [mixed] [number] [--rounds 3] [--tools crosshaul,s5cmd]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from measuring import MIB, Work, compare, recorded
from sink import sink
from tools import peers

SMALL = Work("20,000 files of 4 KiB", [(20_000, 4096)])
LARGE = Work("4 files of 512 MiB", [(4, 512 * MIB)], large=True)
MIXED = Work("a mixed tree", [(2, 1024 * MIB), (100, 10 * MIB), (10_000, 4096)])
NUMBERS = [Work(f"{count:,} files of 4 KiB", [(count, 4096)]) for count in (1_000, 5_000, 20_000, 80_000)]

KINDS = {
    "small": ([SMALL], True),
    "large": ([LARGE], True),
    "large-http": ([LARGE], False),
    "mixed": ([MIXED], True),
    "number": (NUMBERS, True),
}


def measure(kind: str, names: Sequence[str], rounds: int) -> None:
    """One kind of work by all tools, and the table of it."""
    works, tls = KINDS[kind]
    with sink() as store, recorded(kind) as figures:
        for work in works:
            figures[work.name] = compare(work, store, names, rounds, tls=tls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], default=["small", "large", "large-http", "mixed"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", default=None)
    options = parser.parse_args()
    names = options.tools.split(",") if options.tools else peers()
    for kind in options.kinds:
        measure(kind, names, options.rounds)


if __name__ == "__main__":
    main()
