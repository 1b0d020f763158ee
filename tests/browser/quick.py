"""Run `crosshaul` with a chart sample each second instead of every 20 seconds."""

from __future__ import annotations

import sys

from crosshaul.cli.main import main
from crosshaul.service import monitoring

vars(monitoring)["SAMPLE_SECONDS"] = 1.0
sys.argv[:] = ["crosshaul", *sys.argv[4:]]  # the arguments before are this file, PYTHON, -m, crosshaul
main()
