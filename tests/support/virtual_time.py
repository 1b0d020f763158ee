"""The tests' clocks: an event loop on virtual time with its clock, a clock that tests set, and one that is wrong.

The loop never waits, and runs work for threads between its own turns. It has no sockets, and no threads of others.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Callable
from typing import Any

from crosshaul.concurrency.clock import SystemClock

_SLOWEST_THREAD = 0.004


class _Skipping(selectors.SelectSelector):
    """Advances the time where a loop would sleep."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that will never come"
        self.loop.moment += max(0.0, timeout)
        return []


Job = tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]


class _Pool:
    """An executor's threads: the number at work, and the queue."""

    def __init__(self, threads: int) -> None:
        self.free = threads
        self.waiting: deque[Job] = deque()


class VirtualLoop(asyncio.SelectorEventLoop):
    """``moment`` is its time in seconds. A thread's work happens a little later, and its result arrives later still."""

    def __init__(self, moment: float, chance: random.Random, hangs: Callable[[str], float] = lambda _: 0.0) -> None:
        self.moment = moment
        self._chance = chance
        self._hangs = hangs
        self._pools: dict[Any, _Pool] = {}
        skipping = _Skipping()
        skipping.loop = self
        super().__init__(skipping)

    def time(self) -> float:
        """Virtual seconds."""
        return self.moment

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run it between two turns of the loop, as seldom as a thread would at the very moment it is asked.

        There are no more threads than the executor has: one that hangs is missing to the others.
        """
        future = self.create_future()
        pool = self._pools.setdefault(executor, _Pool(getattr(executor, "_max_workers", 16)))
        pool.waiting.append((future, func, args))
        self._begin(executor, pool)
        return future

    def _begin(self, executor: Any, pool: _Pool) -> None:
        while pool.free and pool.waiting:
            pool.free -= 1
            future, func, args = pool.waiting.popleft()
            hangs = self._hangs(getattr(executor, "_thread_name_prefix", ""))
            call: Any = getattr(getattr(func, "func", None), "__self__", None)
            if hangs and hasattr(call, "started"):
                call.started = self.moment  # the thread runs it meanwhile
            self.call_later(
                hangs + self._chance.random() * _SLOWEST_THREAD, self._perform, executor, future, func, args
            )

    def _perform(
        self, executor: Any, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        pool = self._pools[executor]
        pool.free += 1
        self._begin(executor, pool)
        if future.cancelled():
            return
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
    """The running loop's time as a Clock; ``now`` counts from a day in 2023 and is wrong by ``skew`` seconds."""

    EPOCH = 1_700_000_000.0

    def __init__(self, skew: Callable[[], float] = lambda: 0.0) -> None:
        self._skew = skew

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self.EPOCH + self.monotonic() + self._skew()

    def monotonic(self) -> float:
        """Return the loop's seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` of the loop's time."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves when a test sets ``at``, for real journals, whose threads a virtual loop can't serve."""

    START = 1_000_000.0

    def __init__(self) -> None:
        self.at = self.START

    def now(self) -> float:
        """Return ``at``."""
        return self.at

    def monotonic(self) -> float:
        """Return ``at``."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Move by ``seconds``."""
        self.at += seconds
        await asyncio.sleep(0)


class SkewedClock(SystemClock):
    """The system's clock with a ``now`` that is wrong by ``skew`` seconds."""

    def __init__(self, skew: float) -> None:
        self._skew = skew

    def now(self) -> float:
        """Return seconds since the epoch, and ``skew``."""
        return super().now() + self._skew


def virtual_loop() -> VirtualLoop:
    """Return a loop at 0.0 seconds, for test modules that must not wait on the wall."""
    return VirtualLoop(0.0, random.Random(0))
