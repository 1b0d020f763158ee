from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _detect_a_blocked_loop(no_blocked_loop: None) -> None:
    """Fail each test of this directory in which the package blocks the event loop."""
