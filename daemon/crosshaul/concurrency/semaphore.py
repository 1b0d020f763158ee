"""Back-pressure in asyncio: a semaphore over an amount, such as bytes of memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self


class ByteSemaphore:
    """An amount that callers acquire and release, first come, first served.

    A request for more than the capacity is served alone, so that it can't wait for ever.
    """

    def __init__(self, capacity: Callable[[], int]) -> None:
        self._capacity = capacity
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.used = 0
        self.holders = 0

    @property
    def capacity(self) -> int:
        """Return the current capacity."""
        return self._capacity()

    async def hold(self, amount: int) -> Reservation:
        """Wait for ``amount`` and return a reservation, which releases it at the end of its block."""
        if not self.take(amount):
            await self.acquire(amount)
        return Reservation(self, amount)

    def take(self, amount: int) -> bool:
        """Take ``amount`` if it is free and no caller queues. The caller must release it."""
        if self._queue or not self._fits(amount):
            return False
        self.used += amount
        self.holders += 1
        return True

    async def acquire(self, amount: int) -> None:
        """Wait for ``amount``. The caller must release it."""
        if self.take(amount):
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()  # its request may have blocked the next one
            else:
                self.release(amount)
            raise

    def release(self, amount: int) -> None:
        """Release ``amount`` and admit the next callers."""
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
    """An acquired amount, released once, by the first call of ``end`` or at the end of the block."""

    __slots__ = ("_semaphore", "amount")

    def __init__(self, semaphore: ByteSemaphore, amount: int) -> None:
        self._semaphore: ByteSemaphore | None = semaphore
        self.amount = amount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self, *_: object) -> None:
        """Release the amount, unless that was done before."""
        semaphore, self._semaphore = self._semaphore, None
        if semaphore is not None:
            semaphore.release(self.amount)
