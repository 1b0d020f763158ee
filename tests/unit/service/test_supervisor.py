"""supervisor: what becomes of services that fail, end, drain or don't."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from crosshaul.errors import Diagnosis, Fault, FaultKind, LockedError, NotReadyError
from crosshaul.service import supervisor
from crosshaul.service.supervisor import Service, Supervisor
from support.null_logger import NullLogger

Run = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Log(NullLogger):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []
        self.traced: list[BaseException | None] = []

    def info(self, event: str, **fields: object) -> None:
        self.told.append((event, fields["failures"]))

    def error(self, event: str, **fields: object) -> None:
        self.told.append((event, fields.get("error", fields["service"])))

    def exception(self, event: str, **fields: object) -> None:
        self.told.append((event, fields["service"]))
        self.traced.append(sys.exc_info()[1])


class Desk:
    """A supervisor whose back-offs take no time, and are noted."""

    def __init__(self, drain: float = 1.0) -> None:
        self.clock, self.log = FakeClock(), Log()
        self.pauses: list[float] = []
        self.stop, self.hurry = asyncio.Event(), asyncio.Event()
        self.supervisor = Supervisor(self.clock, self.log, drain)

        async def pause(seconds: float, stop: asyncio.Event) -> None:
            self.pauses.append(round(seconds, 1))
            await asyncio.sleep(0)

        self.supervisor._pause = pause  # type: ignore[method-assign]

    async def run(self, *runs: Run) -> bool:
        services = [Service(f"s{number}", run) for number, run in enumerate(runs)]
        return await asyncio.wait_for(self.supervisor.run(services, self.stop, self.hurry), 5)


@pytest.fixture
async def desk():
    desk = Desk()
    yield desk
    strays = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not strays, "tasks were left behind"


async def until_stop(stop: asyncio.Event) -> None:
    await stop.wait()


def failing(times: int, error: BaseException, desk: Desk) -> Run:
    """Fails so often, then has everything stop."""
    left = [error] * times

    async def run(stop: asyncio.Event) -> None:
        await asyncio.sleep(0)
        if left:
            raise left.pop()
        desk.stop.set()
        await stop.wait()

    return run


FAULT = Fault(Diagnosis(FaultKind.NETWORK, "ConnectionReset", "the line is dead"))


async def test_a_failure_is_told_and_the_service_restarted(desk):
    """An error of ours is one line without a traceback, and the service runs again after a back-off."""
    assert await desk.run(failing(1, FAULT, desk)) is True
    assert desk.log.told == [("service_failed", str(FAULT))]
    assert not desk.log.traced
    assert desk.pauses == [2.0]


async def test_a_bug_is_told_with_its_traceback_and_the_service_restarted(desk):
    """A bug is logged where its traceback can be seen, and doesn't end the daemon."""
    error = ValueError("a bug")
    assert await desk.run(failing(1, error, desk)) is True
    assert desk.log.traced == [error]


async def test_a_service_that_keeps_failing_is_told_by_doublings(desk):
    """A disk that is full for an hour is a few lines: the 1st, 2nd, 4th and 8th failure of ten."""
    await desk.run(failing(10, FAULT, desk))
    assert desk.log.told == [("service_failed", str(FAULT))] * 4


async def test_a_service_that_is_well_again_is_told_once(desk, monkeypatch):
    """After it ran for long enough the end is told with the number of failures; one that never failed says nothing."""
    monkeypatch.setattr(supervisor, "_HEALTHY_AFTER", 0.05)
    asyncio.get_running_loop().call_later(0.2, desk.stop.set)
    left = [FAULT] * 3

    async def mended(stop: asyncio.Event) -> None:
        if left:
            raise left.pop()
        await stop.wait()

    await desk.run(mended, until_stop)
    assert desk.log.told == [("service_failed", str(FAULT))] * 2 + [("service_recovered", 3)]


async def test_the_back_off_grows_to_its_bound(desk):
    """A service that keeps failing is restarted ever more slowly, at most half a minute apart."""
    await desk.run(failing(7, FAULT, desk))
    assert desk.pauses == [2.0, 4.0, 7.9, 15.8, 29.7, 29.7, 29.7]


async def test_a_service_that_was_well_for_long_starts_afresh(desk):
    """A failure after a good minute is a first failure."""
    times = 0

    async def run(stop: asyncio.Event) -> None:
        nonlocal times
        times += 1
        if times == 5:
            desk.stop.set()
            await stop.wait()
            return
        desk.clock.time += 61 if times == 4 else 0
        raise FAULT

    await desk.run(run)
    assert desk.pauses == [2.0, 4.0, 7.9, 1.0]


async def test_one_that_ends_unasked_is_restarted(desk):
    """A service that returns before the stop is missed, told of and started again."""
    times = 0

    async def run(stop: asyncio.Event) -> None:
        nonlocal times
        times += 1
        if times == 3:
            desk.stop.set()
            await stop.wait()

    assert await desk.run(run, until_stop) is True
    assert desk.log.told == [("service_failed", "it ended without being asked to")] * 2


async def test_one_whose_awaited_future_is_cancelled_is_restarted(desk):
    """A CancelledError that nobody sent to the service is a bug like any other, not the end of the daemon."""
    assert await desk.run(failing(1, asyncio.CancelledError(), desk)) is True
    assert [type(error) for error in desk.log.traced] == [asyncio.CancelledError]


@pytest.mark.parametrize(
    "error",
    [
        LockedError("held"),
        ExceptionGroup("g", [LockedError("held")]),
        ExceptionGroup("g", [FAULT, ExceptionGroup("h", [ValueError("bug"), LockedError("held")])]),
    ],
    ids=["plain", "wrapped", "among others"],
)
async def test_a_fatal_error_ends_everything(desk, error):
    """A lock that is held ends all services with that very error, however a TaskGroup wrapped it."""
    ended = []

    async def other(stop: asyncio.Event) -> None:
        try:
            await stop.wait()
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(LockedError, match="held"):
        await desk.run(other, failing(1, error, desk))
    assert ended


@pytest.mark.parametrize(
    ("error", "traced"),
    [(ExceptionGroup("g", [FAULT, FAULT]), False), (ExceptionGroup("g", [FAULT, ValueError("bug")]), True)],
    ids=["ours", "with a bug"],
)
async def test_a_wrapped_error_is_recognised(desk, error, traced):
    """A group of our own errors is told as the first of them; one with a bug in it is a bug."""
    await desk.run(failing(1, error, desk))
    assert bool(desk.log.traced) is traced
    assert desk.log.told == [("service_failed", "s0" if traced else str(FAULT))]


# Draining


async def test_services_drain_before_the_end(desk):
    """After the stop each service has its time to finish."""
    done = []

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        await asyncio.sleep(0.02)
        done.append(True)

    desk.stop.set()
    assert await desk.run(run, run) is True
    assert done == [True, True]
    assert not desk.log.told


@pytest.mark.parametrize("hurried", [False, True])
async def test_a_drain_that_takes_too_long_is_cut(hurried):
    """At the deadline, or at a second signal, what is left is cancelled, told of, and the answer is no."""
    desk = Desk(drain=30.0 if hurried else 0.05)
    cleaned = []

    async def slow(stop: asyncio.Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    desk.stop.set()
    if hurried:
        asyncio.get_running_loop().call_later(0.02, desk.hurry.set)
    began = asyncio.get_running_loop().time()
    assert await desk.run(slow, until_stop) is False
    assert asyncio.get_running_loop().time() - began < 2
    assert cleaned == [True]
    assert desk.log.told == [("service_cut_off", "s0")]


async def test_hurrying_when_all_is_done_changes_nothing(desk):
    """A second signal beside the last service's end doesn't call a full drain a cut one."""

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        desk.hurry.set()

    desk.stop.set()
    assert await desk.run(run) is True


async def test_a_failure_in_the_drain_is_told_and_counts(desk):
    """A service that fails while it drains is told of, isn't started again, and the drain was not a full one."""

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        raise FAULT

    desk.stop.set()
    assert await desk.run(run, until_stop) is False
    assert desk.log.told == [("service_failed", str(FAULT))]


async def test_a_fatal_error_in_the_drain_is_raised(desk):
    """A fatal error of the drain comes out, after the others have drained."""
    done = []

    async def other(stop: asyncio.Event) -> None:
        await stop.wait()
        await asyncio.sleep(0.02)
        done.append(True)

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        raise LockedError("lost")

    desk.stop.set()
    with pytest.raises(LockedError, match="lost"):
        await desk.run(run, other)
    assert done == [True]


async def test_a_stop_ends_the_back_off():
    """A service that waits to be restarted doesn't hold up the stop."""
    desk = Desk()
    del desk.supervisor._pause
    failed = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        if not stop.is_set():
            failed.set()
            raise FAULT

    running = asyncio.create_task(desk.run(run))
    await failed.wait()
    await asyncio.sleep(0.02)
    desk.stop.set()
    began = asyncio.get_running_loop().time()
    assert await running is True
    assert asyncio.get_running_loop().time() - began < 0.5


async def test_cancelled_from_outside_it_leaves_nothing_running(desk):
    """When the supervisor itself is cancelled, its services are, and have cleaned up before it ends."""
    cleaned = []

    async def run(stop: asyncio.Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    running = asyncio.create_task(desk.run(run, run))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned == [True, True]


# Around a block


async def test_around_keeps_services_up_and_drains_them_after(desk):
    """Services run during the block, and drain when it is over."""
    seen: list[str] = []

    async def run(stop: asyncio.Event) -> None:
        seen.append("up")
        await stop.wait()
        seen.append("drained")

    async with desk.supervisor.around([Service("s", run)], desk.hurry):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append("block")
    assert seen == ["up", "block", "drained"]


async def test_around_passes_the_blocks_own_error_on(desk):
    """An error of the block comes out as it is, after the services have drained."""
    drained = []

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        drained.append(True)

    with pytest.raises(NotReadyError, match="not ready"):
        async with desk.supervisor.around([Service("s", run)], desk.hurry):
            raise NotReadyError("not ready")
    assert drained == [True]


async def test_a_fatal_error_ends_the_block_it_is_around(desk):
    """The block doesn't go on without its services: it is cut short, and the error comes out in its place."""

    async def run(stop: asyncio.Event) -> None:
        raise LockedError("held")

    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(LockedError, match="held"):
        async with asyncio.timeout(1) as limit, desk.supervisor.around([Service("s", run)], desk.hurry):
            await asyncio.sleep(60)
    assert not limit.expired()
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_cancelled_block_stays_cancelled(desk):
    """Cancelling the block from outside drains the services and is not swallowed."""
    drained = []

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        drained.append(True)

    async def block() -> None:
        async with desk.supervisor.around([Service("s", run)], desk.hurry):
            await asyncio.sleep(60)

    task = asyncio.create_task(block())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert drained == [True]


async def test_nothing_to_supervise(desk):
    """Without services there is nothing to drain."""
    desk.stop.set()
    assert await desk.run() is True
    async with desk.supervisor.around([], desk.hurry):
        pass


# Changing the crew


async def test_the_crew_may_change_while_it_works(desk):
    """Who is new begins, who is left out drains, and who stays is not touched."""
    told = []

    def worker(name: str) -> Run:
        async def run(stop: asyncio.Event) -> None:
            told.append(f"{name} begins")
            await stop.wait()
            told.append(f"{name} ends")

        return run

    stays, goes, comes = (Service(name, worker(name)) for name in ("stays", "goes", "comes"))
    async with desk.supervisor.around([stays, goes], desk.hurry):
        await asyncio.sleep(0.01)
        assert await desk.supervisor.reconcile([stays, comes]) is True
        await asyncio.sleep(0.01)
        assert sorted(told) == ["comes begins", "goes begins", "goes ends", "stays begins"]
    assert sorted(told[4:]) == ["comes ends", "stays ends"]


async def test_who_is_left_out_and_does_not_drain_is_cut_off(desk):
    """A service that is let go of has the drain's deadline, too, and the others go on."""
    desk = Desk(drain=0.05)

    async def stuck(stop: asyncio.Event) -> None:
        await asyncio.sleep(60)

    async with desk.supervisor.around([Service("stuck", stuck)], desk.hurry):
        await asyncio.sleep(0.01)
        assert await desk.supervisor.reconcile([]) is False
    assert desk.log.told == [("service_cut_off", "stuck")]


async def test_a_fatal_error_of_a_newcomer_ends_everything(desk):
    """Who joins later is watched like the first."""

    async def run(stop: asyncio.Event) -> None:
        await asyncio.sleep(0.01)
        raise LockedError("another instance")

    async def joined() -> None:
        async with asyncio.timeout(5), desk.supervisor.around([], desk.hurry):
            await asyncio.sleep(0)
            await desk.supervisor.reconcile([Service("late", run)])
            await asyncio.sleep(60)

    with pytest.raises(LockedError, match="another instance"):
        await joined()
