"""Wait for an event with a time-out, for the first of several things, or for work that an event ends early."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def wait_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until ``event`` is set, at most ``seconds``; return True if it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True


async def wait_any(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run ``coroutines`` until the first of them ends, then cancel the others and wait for their end.

    Raises what a coroutine raised that ended first.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancel_all(tasks)


async def wait_first(tasks: Iterable[asyncio.Task[Any]], *events: asyncio.Event, timeout: float | None = None) -> None:
    """Wait until one of ``tasks`` ends or one of ``events`` is set, at most ``timeout`` seconds.

    The tasks continue; their results and errors stay with them.
    """
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait([*tasks, *waits], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all(waits)


async def run_unless(work: Coroutine[Any, Any, T], *events: asyncio.Event) -> T | None:
    """Run ``work`` to its end and return its result; cancel it and return None if an event is set before.

    Raises what ``work`` raised before an event was set.
    """
    task = asyncio.create_task(work)
    try:
        await wait_first([task], *events)
        return task.result() if task.done() else None
    finally:
        await cancel_all([task])


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and wait until they have ended. What they raise is dropped."""
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)
