"""A detector for a blocked event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster

_CALLED_BY_TESTS = {
    "crosshaul/config/load.py": {"load"},
    "crosshaul/aws/net/trust_store.py": {"tls_context"},
    "crosshaul/journal/sqlite/connect.py": {"open_writable"},
    "crosshaul/journal/sqlite/reader.py": {"_existing"},
    "crosshaul/journal/state_dir.py": {"prepare"},
}
"""Functions that document that they block: the daemon calls them in a thread, a test may call them directly."""


@pytest.fixture
def no_blocked_loop() -> Iterator[None]:
    """Fail a test in which the daemon's code makes a blocking call on an event loop's thread."""
    detector = BlockBuster(scanned_modules=["crosshaul"], excluded_modules=["crosshaul.partner"])
    for function in detector.functions.values():
        for file, names in _CALLED_BY_TESTS.items():
            function.can_block_in(file, names)
    detector.activate()
    yield
    detector.deactivate()
