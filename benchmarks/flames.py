"""Draw the interpreter's time with 20,000 small files as a flame graph: results/small-profile.svg.

python benchmarks/flames.py; takes py-spy, which slows what it looks at by a third.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from compare import SMALL
from measuring import RESULTS, SCRATCH, warm
from sink import sink
from tools import Job, crosshaul, session

SPY = Path(sys.executable).with_name("py-spy")
PICTURE = RESULTS / "small-profile.svg"


def main() -> None:
    home, tree = SCRATCH / "home", SMALL.tree()
    warm(tree)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with sink() as store:
        command, told = crosshaul(Job(tree, home, store, tls=True, large=False))
        spy = [str(SPY), "record", "--rate", "400", "--gil", "--format", "flamegraph", "--output", str(PICTURE)]
        subprocess.run([*spy, "--", *command], env=os.environ | session() | told, check=True)
    # Its headline is the command line, with the paths of this machine.
    PICTURE.write_text(
        PICTURE.read_text().replace(" ".join([*spy, "--", *command]), "20,000 files of 4 KiB, by py-spy")
    )


if __name__ == "__main__":
    main()
