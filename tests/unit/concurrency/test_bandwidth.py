"""The bandwidth limit that destinations share, on virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

import pytest

from crosshaul.concurrency.bandwidth import BandwidthLimiter, BandwidthShare
from crosshaul.concurrency.token_bucket import RateStep
from support.virtual_time import VirtualClock, VirtualLoop

KIB = 1024


def virtually(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run the coroutine on virtual time."""
    loop = VirtualLoop(1_000_000.0, random.Random(1))
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


def limited(rate: int | None) -> BandwidthLimiter:
    limiter = BandwidthLimiter(VirtualClock())
    limiter.schedule((RateStep(None, rate),))
    return limiter


async def send(share: BandwidthShare, size: int) -> float:
    """Send a body in turns; return the time at its end."""
    while size > 0:
        piece = min(size, share.piece())
        await share.turn(piece)
        size -= piece
    return asyncio.get_running_loop().time()


def test_no_bandwidth_no_pace():
    """Without a rate there is no wait; an operator's limit overrides the schedule."""

    async def run() -> None:
        limiter = BandwidthLimiter(VirtualClock())
        share = limiter.share()
        assert not share
        assert limiter.rate() is None
        limiter.override((RateStep(None, 1_000),))
        assert share
        assert limiter.rate() == 1_000
        limiter.schedule((RateStep(None, 1_000),))
        limiter.override(())
        assert not share

    virtually(run())


@pytest.mark.parametrize("rate", [1 * KIB, 16 * KIB, 400 * KIB, 20 * KIB * KIB])
@pytest.mark.parametrize("bodies", [1, 2, 50])
def test_the_rate_is_kept_and_used(rate, bodies):
    """However many bodies share it, the rate is neither exceeded nor left unused."""

    async def run() -> None:
        share, size = limited(rate).share(), 20 * rate // bodies
        began = asyncio.get_running_loop().time()
        ended = await asyncio.gather(*(send(share, size) for _ in range(bodies)))
        assert max(ended) - began == pytest.approx(20, rel=0.05)

    virtually(run())


@pytest.mark.parametrize("rate", [1 * KIB, 16 * KIB, 400 * KIB])
def test_no_connection_is_silent_for_long(rate):
    """Eight bodies that share a low rate each send something every few seconds."""

    async def run() -> None:
        share, loop = limited(rate).share(), asyncio.get_running_loop()
        longest = 0.0

        async def body() -> None:
            nonlocal longest
            last = loop.time()
            for _ in range(20):
                await share.turn(share.piece())
                longest = max(longest, loop.time() - last)
                last = loop.time()

        await asyncio.gather(*(body() for _ in range(8)))
        assert longest < 5

    virtually(run())


def test_a_raised_limit_acts_at_once():
    """After a raise from 8 KiB/s to 10 MiB/s a body ends in seconds; with `off` at once."""

    async def run() -> None:
        limiter, loop = limited(8 * KIB), asyncio.get_running_loop()
        share = limiter.share()
        bodies = [asyncio.create_task(send(share, 1024 * KIB)) for _ in range(40)]
        await asyncio.sleep(10)
        limiter.override((RateStep(None, 10 * KIB * KIB),))
        raised = loop.time()
        await asyncio.wait(bodies[:1])
        assert max(await asyncio.gather(*bodies)) - raised < 4.2
        limiter.override((RateStep(None, 8 * KIB),))
        bodies = [asyncio.create_task(send(share, 1024 * KIB)) for _ in range(40)]
        await asyncio.sleep(10)
        limiter.override(())
        lifted = loop.time()
        assert max(await asyncio.gather(*bodies)) - lifted < 0.01

    virtually(run())


def test_a_lowered_limit_acts_at_once():
    """Bytes sent at a high rate do not delay later ones, and the lower limit applies at once."""

    async def run() -> None:
        limiter, loop = limited(10 * KIB * KIB), asyncio.get_running_loop()
        share = limiter.share()
        body = asyncio.create_task(send(share, 100 * KIB * KIB))
        await asyncio.sleep(1)
        limiter.override((RateStep(None, 16 * KIB),))
        began = loop.time()
        await send(share, 16 * KIB)
        assert 1.0 < loop.time() - began < 20
        body.cancel()

    virtually(run())


def test_destinations_share_fairly_whatever_each_wants():
    """A kilobyte of one destination is sent within a second beside forty bodies of another; a backlog gets half."""

    async def run() -> None:
        limiter, loop = limited(512 * KIB), asyncio.get_running_loop()
        busy, quiet, third = limiter.share(), limiter.share(), limiter.share()
        bodies = [asyncio.create_task(send(busy, 10 * KIB * KIB)) for _ in range(40)]
        await asyncio.sleep(5)
        began = loop.time()
        assert await send(quiet, 1_000) - began < 0.5
        began = loop.time()
        # Many small pieces get as many bytes as few large ones.
        await asyncio.gather(*(send(third, 1 * KIB) for _ in range(2_560)))
        assert loop.time() - began == pytest.approx(10, rel=0.1)
        for body in bodies:
            body.cancel()

    virtually(run())


def test_turns_of_who_gave_up_are_nobody_s():
    """Senders that are cancelled while they wait, or at their turn, cost the others no time."""

    async def run() -> None:
        limiter, loop = limited(100 * KIB), asyncio.get_running_loop()
        share = limiter.share()
        waiting = [asyncio.create_task(share.turn(10 * KIB)) for _ in range(100)]
        await asyncio.sleep(0.35)
        for each in waiting:
            each.cancel()
        began = loop.time()
        assert await send(share, 100 * KIB) - began < 1.1
        granted = asyncio.create_task(share.turn(10 * KIB))
        while not granted.done() and not (share._queue and share._queue[0][1].done()):
            await asyncio.sleep(0.01)
            if not share.waits:
                granted.cancel()
                break
        await asyncio.wait([granted])

    virtually(run())


def test_an_unused_turn_goes_back():
    """Bytes that are given back may be sent at once."""

    async def run() -> None:
        share, loop = limited(10 * KIB).share(), asyncio.get_running_loop()
        await share.turn(1 * KIB)
        await share.turn(1 * KIB)
        began = loop.time()
        share.give_back(1 * KIB)
        await share.turn(1 * KIB)
        assert loop.time() - began < 0.01

    virtually(run())


def test_the_timetable_goes_by_local_time():
    """A step of the schedule starts at its local time, also for senders that already wait."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        wall = datetime.fromtimestamp(VirtualClock.EPOCH + loop.time() + 60).astimezone().time().replace(microsecond=0)
        limiter = BandwidthLimiter(VirtualClock())
        before = datetime.fromtimestamp(VirtualClock.EPOCH + loop.time() - 60).astimezone().time()
        limiter.schedule((RateStep(before, 512), RateStep(wall, None)))
        began = loop.time()
        assert 59 < await send(limiter.share(), 512 * 10_000) - began < 62

    virtually(run())
