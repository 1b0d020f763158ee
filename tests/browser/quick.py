"""Run `crosshaul` as its arguments say, but with a sample for the charts each second: a test has no hours."""

from __future__ import annotations

import sys

from crosshaul.cli.main import main
from crosshaul.service import monitoring

monitoring.SAMPLE_SECONDS = 1.0
sys.argv[:] = ["crosshaul", *sys.argv[4:]]  # what stands before it is: this file, PYTHON -m crosshaul
main()
