from __future__ import annotations

from collections.abc import Callable, Mapping

from support.virtual_time import VirtualLoop, virtual_loop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], VirtualLoop]]:
    """Run the tests of this folder on virtual time."""
    return {"virtual": virtual_loop}
