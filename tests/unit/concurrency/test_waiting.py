"""Waiting for an event, for the first of several, and for work that an event ends; no task is left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from crosshaul.concurrency.waiting import cancel_all, run_unless, wait_any, wait_event, wait_first


@pytest.fixture(autouse=True)
async def no_strays() -> AsyncIterator[None]:
    """Check that each test ends with no task but its own."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


def now() -> float:
    return asyncio.get_running_loop().time()


def event_in(seconds: float) -> asyncio.Event:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, event.set)
    return event


class Cleanup:
    """Work that takes a minute, and a second to end when it is cancelled."""

    def __init__(self, error: Exception | None = None) -> None:
        self.cleaned = False
        self._error = error

    async def run(self) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            self.cleaned = True
            if self._error is not None:
                raise self._error from None
            raise
        return "done"


@pytest.mark.parametrize(
    ("set_after", "seconds", "is_set", "waited"), [(2, 5, True, 2), (9, 5, False, 5), (9, 0, False, 0)]
)
async def test_an_event_is_waited_for_at_most_so_long(set_after, seconds, is_set, waited):
    """``wait_event`` returns when the event is set or the time is over, and returns which."""
    event, began = event_in(set_after), now()
    assert await wait_event(event, seconds) is is_set
    assert now() - began == pytest.approx(waited, abs=0.001)


async def test_an_event_that_is_set_needs_no_time():
    """An event that is set already is returned even with no time to wait."""
    event = asyncio.Event()
    event.set()
    assert await wait_event(event, 0) is True


@pytest.mark.parametrize(
    "wait", [lambda e: wait_event(e, 60), lambda e: wait_any(e.wait()), lambda e: wait_first([], e)]
)
async def test_a_wait_can_be_cancelled(wait):
    """A cancelled wait raises CancelledError; a time-out or an event does not swallow it."""
    waiting = asyncio.create_task(wait(asyncio.Event()))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_first_of_several_ends_the_wait_and_the_others():
    """``wait_any`` returns with the first coroutine, after the others have cleaned up."""
    slow, began = Cleanup(), now()
    await wait_any(asyncio.sleep(3), slow.run(), asyncio.Event().wait())
    assert slow.cleaned
    assert now() - began == pytest.approx(4, abs=0.001)


async def test_the_error_of_the_first_is_raised():
    """``wait_any`` raises what the first coroutine raised, and drops what the cancelled ones raise."""

    async def fails() -> None:
        raise ValueError("first")

    slow = Cleanup(RuntimeError("second"))
    with pytest.raises(ValueError, match="first"):
        await wait_any(slow.run(), fails())
    assert slow.cleaned


async def test_cancelling_wait_any_cancels_what_it_runs():
    """When the caller is cancelled, the coroutines have cleaned up before CancelledError reaches it."""
    slow = Cleanup()
    waiting = asyncio.create_task(wait_any(slow.run(), asyncio.Event().wait()))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slow.cleaned


@pytest.mark.parametrize(("set_after", "timeout", "waited"), [(2, None, 2), (9, 5, 5), (99, None, 60)])
async def test_tasks_continue_after_wait_first(set_after, timeout, waited):
    """``wait_first`` ends with a task, an event or the time-out, whichever is first, and cancels no task."""
    task, began = asyncio.create_task(Cleanup().run()), now()
    await wait_first([task], event_in(set_after), timeout=timeout)
    assert now() - began == pytest.approx(waited, abs=0.001)
    assert await task == "done"


async def test_work_that_ends_before_the_event_gives_its_result():
    """``run_unless`` returns the result of the work."""
    assert await run_unless(Cleanup().run(), asyncio.Event()) == "done"


async def test_an_event_ends_the_work():
    """The first event set ends the work, which has cleaned up by then; the result is None."""
    slow, began = Cleanup(RuntimeError("dropped")), now()
    assert await run_unless(slow.run(), asyncio.Event(), event_in(2)) is None
    assert slow.cleaned
    assert now() - began == pytest.approx(3, abs=0.001)


async def test_the_error_of_the_work_is_raised():
    """``run_unless`` raises what the work raised on its own."""

    async def fails() -> None:
        raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        await run_unless(fails(), asyncio.Event())


async def test_cancelling_run_unless_cancels_the_work():
    """When the caller is cancelled, the work has cleaned up before CancelledError reaches it."""
    slow = Cleanup()
    running = asyncio.create_task(run_unless(slow.run(), asyncio.Event()))
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert slow.cleaned


async def test_tasks_are_cancelled_together_and_waited_for():
    """``cancel_all`` takes the time of the slowest task, and accepts tasks that have ended with an error."""

    async def fails() -> None:
        raise ValueError("ended")

    ended, slow = asyncio.create_task(fails()), [Cleanup(), Cleanup()]
    tasks = [asyncio.create_task(each.run()) for each in slow]
    await asyncio.sleep(1)
    began = now()
    await cancel_all([ended, *tasks])
    assert [each.cleaned for each in slow] == [True, True]
    assert now() - began == pytest.approx(1, abs=0.001)
