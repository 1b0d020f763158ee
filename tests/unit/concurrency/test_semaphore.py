"""The semaphore over an amount, with a queue of callers."""

from __future__ import annotations

import asyncio

import pytest

from crosshaul.concurrency.semaphore import ByteSemaphore, Reservation


async def ticks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def waiter(budget: ByteSemaphore, amount: int) -> asyncio.Task[None]:
    return asyncio.create_task(budget.acquire(amount))


async def test_first_come_first_served():
    """A small request does not overtake a large one that waits."""
    budget = ByteSemaphore(lambda: 10)
    await budget.acquire(8)
    large, small = waiter(budget, 5), waiter(budget, 1)
    await ticks()
    assert not large.done()
    assert not small.done()
    budget.release(8)
    await asyncio.gather(large, small)
    assert budget.used == 6


async def test_a_newcomer_does_not_overtake():
    """A new request queues behind waiting ones, even if its amount would fit."""
    budget = ByteSemaphore(lambda: 10)
    await budget.acquire(8)
    large = waiter(budget, 5)
    await ticks()
    late = waiter(budget, 2)
    await ticks()
    assert not late.done()
    budget.release(8)
    await asyncio.gather(large, late)


async def test_an_oversized_request_is_served_alone():
    """A request above the capacity is served alone, and the others wait for its release."""
    budget = ByteSemaphore(lambda: 10)
    await budget.acquire(1)
    huge, next_ = waiter(budget, 50), waiter(budget, 1)
    await ticks()
    assert not huge.done()
    budget.release(1)
    await ticks()
    assert huge.done()
    assert not next_.done()
    budget.release(50)
    await next_
    assert budget.used == 1


async def test_cancelled_while_waiting():
    """A cancelled waiter takes nothing, and those behind it move up at once."""
    budget = ByteSemaphore(lambda: 10)
    await budget.acquire(8)
    large, small = waiter(budget, 5), waiter(budget, 2)
    await ticks()
    large.cancel()
    await ticks()
    assert small.done()
    budget.release(8)
    budget.release(2)
    assert budget.used == 0


async def test_cancelled_in_the_moment_of_its_turn():
    """A waiter that is cancelled just after it was served releases its amount."""
    budget = ByteSemaphore(lambda: 10)
    await budget.acquire(10)
    served, next_ = waiter(budget, 10), waiter(budget, 10)
    await ticks()
    budget.release(10)
    served.cancel()
    await ticks()
    assert served.cancelled()
    assert next_.done()
    assert budget.used == 10


async def test_a_block_gives_back_when_it_fails():
    """``hold`` releases its amount however the block ends."""
    budget = ByteSemaphore(lambda: 10)
    with pytest.raises(ZeroDivisionError), await budget.hold(10):
        raise ZeroDivisionError
    assert budget.used == 0


async def test_a_capacity_that_shrinks_lets_nobody_in_until_it_fits():
    """The capacity is read for each request, as an adaptive limit needs."""
    capacity = 4
    budget = ByteSemaphore(lambda: capacity)
    for _ in range(4):
        await budget.acquire(1)
    capacity, waiting = 2, waiter(budget, 1)
    await ticks()
    budget.release(1)
    budget.release(1)
    await ticks()
    assert not waiting.done()
    budget.release(1)
    await waiting
    assert budget.used == 2


async def test_many_tasks_that_come_go_and_are_cancelled_leak_nothing():
    """With many cancellations the capacity is never exceeded, and all is released at the end."""
    budget, peak = ByteSemaphore(lambda: 7), 0

    async def worker(number: int) -> None:
        nonlocal peak
        with await budget.hold(number % 5 + 1):
            peak = max(peak, budget.used)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(worker(number)) for number in range(500)]
    for number in range(500):
        await asyncio.sleep(0)
        if number % 3 == 0:
            tasks[(number * 7) % 500].cancel()
        assert budget.used <= 7
    await asyncio.gather(*tasks, return_exceptions=True)
    assert budget.used == 0
    assert 5 <= peak <= 7


async def test_a_lease_is_given_back_once():
    """A reservation is released once, however often ``end`` is called."""
    budget = ByteSemaphore(lambda: 10)
    await budget.acquire(10)
    lease, next_ = Reservation(budget, 10), waiter(budget, 10)
    await ticks()
    lease.end()
    lease.end()
    await next_
    assert (budget.used, budget.take(1)) == (10, False)
