"""An event loop whose time is made up: it never waits, and threads are turns of its own."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable
from typing import Any

_SLOWEST_THREAD = 0.004


class _Skipping(selectors.SelectSelector):
    """Where a loop would sleep, its time moves on."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that will never come"
        self.loop.moment += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """``moment`` is its time, in seconds. A thread's work happens a little later, and is heard of later still."""

    def __init__(self, moment: float, chance: random.Random) -> None:
        self.moment = moment
        self._chance = chance
        skipping = _Skipping()
        skipping.loop = self
        super().__init__(skipping)

    def time(self) -> float:
        """Virtual seconds."""
        return self.moment

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run it between two turns of the loop, as seldom as a thread would at the very moment it is asked."""
        future = self.create_future()
        self.call_later(self._chance.random() * _SLOWEST_THREAD, self._perform, future, func, args)
        return future

    def _perform(self, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            result, error = func(*args), None
        except StopIteration:
            raise AssertionError("a thread can't raise StopIteration") from None
        except Exception as raised:  # noqa: BLE001 - whatever it is, it is the waiter's
            result, error = None, raised
        self.call_later(self._chance.random() * _SLOWEST_THREAD, _hand_over, future, result, error)


def _hand_over(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class VirtualClock:
    """The loop's time for the product; ``now`` counts from a day in 2023, and is wrong by ``skew`` seconds."""

    EPOCH = 1_700_000_000.0

    def __init__(self, loop: VirtualLoop, skew: Callable[[], float]) -> None:
        self._loop = loop
        self._skew = skew

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.EPOCH + self._loop.moment + self._skew()

    def monotonic(self) -> float:
        """Seconds of the loop."""
        return self._loop.moment

    async def sleep(self, seconds: float) -> None:
        """Come back later."""
        await asyncio.sleep(max(0.0, seconds))
