"""LoopThread: coroutines run in another thread, with results, errors and cancellation passed on.

Beside the credentials that use it: the tests of concurrency run on virtual time, which has no threads.
"""

from __future__ import annotations

import asyncio
import threading

import pytest

from crosshaul.concurrency.loop_thread import LoopThread

THREAD = LoopThread("loop-under-test", lambda: None)


async def test_a_result_comes_from_the_thread():
    """The coroutine runs in the named thread, every time in the same loop."""

    async def where() -> tuple[str, asyncio.AbstractEventLoop]:
        return threading.current_thread().name, asyncio.get_running_loop()

    first, second = await THREAD.run(where), await THREAD.run(where)
    assert first[0] == "loop-under-test"
    assert first == second
    assert first[1] is not asyncio.get_running_loop()


async def test_an_error_reaches_the_caller():
    """An exception of the coroutine is raised in the caller."""

    async def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await THREAD.run(fail)


async def test_a_cancelled_caller_cancels_the_coroutine_and_awaits_its_end():
    """Clean-up in the coroutine is complete when the cancelled caller continues."""
    begun, cleaned = threading.Event(), []

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    calling = asyncio.create_task(THREAD.run(hang))
    await asyncio.to_thread(begun.wait)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert cleaned == [True]


async def test_a_blocking_coroutine_does_not_block_the_caller_s_loop():
    """The caller's loop runs while the thread is blocked."""
    gate = threading.Event()

    async def block() -> bool:
        return gate.wait(60)

    blocked = asyncio.create_task(THREAD.run(block))
    await asyncio.sleep(0.3)
    assert not blocked.done()
    gate.set()
    assert await blocked
