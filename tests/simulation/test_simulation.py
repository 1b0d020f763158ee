"""A short form of ``make simulate``: whole lives of the daemon in virtual time, driven by seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.run import play_many
from simulation.story import THEMES

_TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("first", [1, 51])
def test_whatever_happens_the_bucket_holds_every_files_last_state_in_the_end(first: int) -> None:
    """Fifty stories of writers, kills, faults, outages and other configurations violate none of the rules."""
    broken, counts = play_many(range(first, first + 50))
    assert [(played.seed, played.wrong) for played in broken] == []
    assert counts["kills"] > 10
    assert counts["faults"] > 100
    assert [theme for theme in THEMES if not counts[theme]] == []


def test_a_seed_replays_exactly_in_any_process() -> None:
    """A seed gives the same trace, to the tenth of a millisecond, with another hash seed."""
    traces = {_trace(seed=7, hash_seed=hash_seed) for hash_seed in ("0", "4242")}
    assert len(traces) == 1
    assert "S3 has" in traces.pop()


def _trace(*, seed: int, hash_seed: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_TESTS), *sys.path]), "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "simulation.run", "--seed", str(seed)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
