"""Threads for blocking calls. Each owner has its own pool, so that a hung file system blocks no other owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ThreadPool:
    """At most ``count`` threads; further calls wait for a free one."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``call`` in a thread and return its result."""
        return await self.begin(call, *args, **kwargs)

    def begin(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Start ``call`` in a thread and return the future of its result."""
        return asyncio.get_running_loop().run_in_executor(self._pool, partial(call, *args, **kwargs))

    def close(self) -> None:
        """Let the threads end after their current calls; drop the calls that have not started."""
        self._pool.shutdown(wait=False, cancel_futures=True)
