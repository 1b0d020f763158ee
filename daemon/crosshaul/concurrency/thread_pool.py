"""Threads for calls that block, each lot with an owner: a file system that hangs takes nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ThreadPool:
    """At most ``count`` threads; more calls than that wait for each other."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``call`` gives, from one of the threads."""
        return await self.begin(call, *args, **kwargs)

    def begin(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """The same, for who has something else to do meanwhile."""
        return asyncio.get_running_loop().run_in_executor(self._pool, partial(call, *args, **kwargs))

    def close(self) -> None:
        """Let the threads end when they have done what they are at; what has not begun never will."""
        self._pool.shutdown(wait=False, cancel_futures=True)
