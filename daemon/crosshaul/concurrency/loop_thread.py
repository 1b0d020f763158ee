"""Event loop in a thread of its own, for coroutines of libraries that read files without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_CLEANUP_SECONDS = 1.0
"""Wait for a cancelled coroutine's clean-up, such as ending a program."""


class LoopThread:
    """Runs coroutines in a daemon thread: a file system that hangs there does not block the caller's event loop."""

    def __init__(self, name: str, prepare: Callable[[], None]) -> None:
        """Take ``prepare`` to be called once in the new loop."""
        self._name = name
        self._prepare = prepare
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of ``work``'s coroutine, run in the thread. Cancelling the caller cancels the coroutine."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def supervised() -> T:
            try:
                return await work()
            finally:
                with contextlib.suppress(RuntimeError):  # the caller's loop may be closed by now
                    loop.call_soon_threadsafe(ended.set)

        future = asyncio.run_coroutine_threadsafe(supervised(), self._started())
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLEANUP_SECONDS):
                    await ended.wait()
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._serve, args=(self._loop,), name=self._name, daemon=True).start()
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(self._prepare)
        loop.run_forever()
