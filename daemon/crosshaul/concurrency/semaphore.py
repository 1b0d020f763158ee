"""Back-pressure in asyncio: budgets that callers queue for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self


class ByteSemaphore:
    """An amount shared by callers who queue for it, first come, first served: bytes of memory, requests in flight.

    A request for more than there is in all is served alone, so that it can't wait for ever.
    """

    def __init__(self, capacity: Callable[[], int]) -> None:
        self._capacity = capacity
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.used = 0
        self.holders = 0

    @property
    def capacity(self) -> int:
        """How much there is in all, now."""
        return self._capacity()

    async def hold(self, amount: int) -> Reservation:
        """Wait for ``amount``, which is given back at the end of the lease's block."""
        if not self.take(amount):
            await self.acquire(amount)
        return Reservation(self, amount)

    def take(self, amount: int) -> bool:
        """Take ``amount`` if it is there and nobody queues for it; the caller owes a ``release`` of it then."""
        if self._queue or not self._fits(amount):
            return False
        self.used += amount
        self.holders += 1
        return True

    async def acquire(self, amount: int) -> None:
        """Wait for ``amount``; the caller owes a ``release`` of it."""
        if self.take(amount):
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()  # it may have been the one in the way
            else:
                self.release(amount)
            raise

    def release(self, amount: int) -> None:
        """Give ``amount`` back and let the next in."""
        self.used -= amount
        self.holders -= 1
        if self._queue:
            self._admit()

    def _admit(self) -> None:
        while self._queue:
            amount, turn = self._queue[0]
            if not turn.cancelled():
                if not self._fits(amount):
                    return
                self.used += amount
                self.holders += 1
                turn.set_result(None)
            self._queue.popleft()

    def _fits(self, amount: int) -> bool:
        return self.used == 0 or self.used + amount <= self._capacity()


class Reservation:
    """An amount of a budget that was acquired, to be given back once by whoever is first to see that it can be."""

    __slots__ = ("_budget", "amount")

    def __init__(self, budget: ByteSemaphore, amount: int) -> None:
        self._budget: ByteSemaphore | None = budget
        self.amount = amount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self, *_: object) -> None:
        """Give it back, unless that was done before."""
        budget, self._budget = self._budget, None
        if budget is not None:
            budget.release(self.amount)
