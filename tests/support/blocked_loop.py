"""A detector for blocking calls on an event loop."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, BlockingError, blockbuster

_MAY_BLOCK = {
    "crosshaul/concurrency/loop_thread.py": {
        "_serve"
    },  # the AWS library's own loop: it has its thread because it blocks
    "crosshaul/aws/sdk_session.py": {
        "_create_client"
    },  # the AWS library reads its models beside its code, once per client
    "crosshaul/files/page_cache_read.py": {"_is_local"},  # /proc/self/mountinfo comes from the memory of the kernel
    "crosshaul/journal/sqlite/requeue.py": {"requeue"},  # the command's: tests call it in their loop
    "crosshaul/aws/net/trust_store.py": {"_version"},  # one stat of each CA bundle
    "crosshaul/discovery/watch/inotify.py": {"__init__"},  # a descriptor that does not block
    "crosshaul/partner/store.py": {"_remove"},  # a finalizer of the partner account: the garbage is collected anywhere
}
"""File -> functions below which a blocking call is allowed."""


@pytest.fixture
def no_blocked_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which the package makes a blocking call on an event loop's thread."""
    calls: list[str] = []

    class RecordedError(BlockingError):
        """An error that fails the test even if the package handles it."""

        def __init__(self, function: str) -> None:
            super().__init__(function)
            package = [each for each in traceback.extract_stack() if "/crosshaul/" in each.filename]
            calls.append(f"{function}: " + " > ".join(f"{each.filename}:{each.lineno} {each.name}" for each in package))

    monkeypatch.setattr(blockbuster, "BlockingError", RecordedError)
    detector = BlockBuster(scanned_modules=["crosshaul"], excluded_modules=["crosshaul.partner"])
    for function in detector.functions.values():
        for file, names in _MAY_BLOCK.items():
            function.can_block_in(file, names)
    detector.activate()
    yield
    detector.deactivate()
    assert not calls, "\n".join(["the package blocked the event loop:", *dict.fromkeys(calls)])
