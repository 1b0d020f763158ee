"""Request slots are shared among small files, large files and files that stalled."""

from __future__ import annotations

import asyncio

import pytest

from crosshaul.concurrency.request_slots import RequestSlots, SlotKind
from crosshaul.errors import HeldBackError

SMALL, LARGE, STALLED = SlotKind


def slots(limit: int, ceiling: int | None = None) -> RequestSlots:
    return RequestSlots(lambda: limit, ceiling or limit)


def fill(held: RequestSlots, kind: SlotKind) -> int:
    """Take all free slots."""
    count = 0
    while held.take(kind):
        count += 1
    return count


@pytest.mark.parametrize(("limit", "parts"), [(64, 48), (8, 6), (4, 3), (2, 1), (1, 1)])
def test_parts_take_three_quarters_and_small_files_have_the_rest(limit, parts):
    """A small file gets a slot however many parts wait; without parts small files use all slots."""
    held = slots(limit)
    assert fill(held, LARGE) == parts
    assert fill(held, SMALL) == limit - parts
    assert fill(slots(limit), SMALL) == limit


@pytest.mark.parametrize(("limit", "some"), [(64, 16), (8, 2), (4, 1), (1, 1)])
def test_files_that_stalled_take_a_quarter(limit, some):
    """Hundreds of stalled files leave three quarters of the slots to others."""
    assert fill(slots(limit), STALLED) == some


def test_where_the_limit_has_fallen_to_one_a_small_file_still_goes():
    """A part or a stalled file does not hold the only slot, and the ceiling is never exceeded."""
    held = slots(1, ceiling=64)
    assert (fill(held, STALLED), fill(held, LARGE), fill(held, SMALL)) == (1, 1, 1)
    held = slots(1, ceiling=1)
    assert (fill(held, STALLED), fill(held, LARGE), fill(held, SMALL)) == (1, 0, 0)


async def test_who_waits_is_served_in_the_order_of_coming_past_those_that_have_their_share():
    """Requests of one kind are served in order; a kind that has used its share is skipped."""
    held, order = slots(4), []

    async def use(name: str, kind: SlotKind) -> None:
        with await held.hold(kind):
            order.append(name)
            await asyncio.sleep(0.01)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for number in range(9):
            group.create_task(use(f"part {number}", LARGE))
        for number in range(2):
            group.create_task(use(f"small {number}", SMALL))
    assert order[:4] == ["part 0", "part 1", "part 2", "small 0"]
    assert order.index("small 1") < order.index("part 6")
    assert held.used == 0


async def test_who_stops_waiting_takes_nothing_along():
    """Cancelled waits, before and after their turn, hold no slot."""
    held = slots(1)
    assert held.take(SMALL)
    waiting = [asyncio.create_task(held.acquire(SMALL)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    held.release(SMALL)
    waiting[1].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in results] == [asyncio.CancelledError, asyncio.CancelledError, type(None)]
    held.release(SMALL)
    assert held.used == 0


async def test_while_the_destination_takes_nothing_only_canaries_get_a_slot():
    """While closed, waiting and new requests are refused and canaries get slots; afterwards all is as before."""
    held = slots(2, ceiling=4)
    assert fill(held, SMALL) == 2
    waiting = [asyncio.create_task(held.acquire(SMALL, file)) for file in (1, 2)]
    await asyncio.sleep(0)
    held.close(lambda file: file == 2)
    with pytest.raises(HeldBackError):
        await waiting[0]
    await waiting[1]
    with pytest.raises(HeldBackError), await held.hold(LARGE, 3):
        pass
    held.open()
    for _ in range(3):
        held.release(SMALL)
    with await held.hold(LARGE, 3):
        assert held.used == 1


async def test_who_is_held_back_and_cancelled_in_one_moment_gives_nothing_back():
    """A request that is refused and cancelled at the same time releases no slot."""
    held = slots(1)
    assert held.take(SMALL)
    waiter = asyncio.create_task(held.acquire(SMALL, 7))
    await asyncio.sleep(0)
    held.close(lambda _: False)
    waiter.cancel()
    assert isinstance((await asyncio.gather(waiter, return_exceptions=True))[0], asyncio.CancelledError)
    assert held.used == 1
