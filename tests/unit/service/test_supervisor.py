"""The supervisor: restarts, fatal errors, drains and reconciliation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from crosshaul.errors import Diagnosis, Fault, FaultKind, LockedError, NotReadyError
from crosshaul.service.supervisor import Service, Supervisor
from support.null_logger import NullLogger
from support.virtual_time import VirtualClock

Run = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class Log(NullLogger):
    """Records log events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.traced: list[BaseException | None] = []

    def info(self, event: str, **fields: object) -> None:
        self.events.append((event, fields["failures"]))

    def error(self, event: str, **fields: object) -> None:
        self.events.append((event, fields.get("error", fields["service"])))

    def exception(self, event: str, **fields: object) -> None:
        self.events.append((event, fields["service"]))
        self.traced.append(sys.exc_info()[1])


class Desk:
    """A supervisor on virtual time, and the start times of its services."""

    def __init__(self, drain: float = 1.0) -> None:
        self.log = Log()
        self.starts: dict[str, list[float]] = {}
        self.ends: dict[str, list[float]] = {}
        self.stop, self.forced = asyncio.Event(), asyncio.Event()
        self.supervisor = Supervisor(VirtualClock(), self.log, drain)

    async def run(self, *runs: Run) -> bool:
        services = [self._noted(Service(f"s{number}", run)) for number, run in enumerate(runs)]
        return await self.supervisor.run(services, self.stop, self.forced)

    def _noted(self, service: Service) -> Service:
        async def run(stop: asyncio.Event) -> None:
            self.starts.setdefault(service.name, []).append(now())
            try:
                await service.run(stop)
            finally:
                self.ends.setdefault(service.name, []).append(now())

        return Service(service.name, run)

    @property
    def pauses(self) -> list[float]:
        """Return the seconds between the end of each run of the first service and its next start."""
        pairs = zip(self.ends["s0"], self.starts["s0"][1:], strict=False)
        return [round(start - end, 1) for end, start in pairs]


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
async def desk():
    desk = Desk()
    yield desk
    strays = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not strays, "tasks were left behind"


async def until_stop(stop: asyncio.Event) -> None:
    await stop.wait()


def failing(times: int, error: BaseException, desk: Desk) -> Run:
    """Fail this many times, then stop everything."""
    left = [error] * times

    async def run(stop: asyncio.Event) -> None:
        await asyncio.sleep(0)
        if left:
            raise left.pop()
        desk.stop.set()
        await stop.wait()

    return run


FAULT = Fault(Diagnosis(FaultKind.NETWORK, "ConnectionReset", "the line is dead"))


async def test_a_failure_is_logged_and_the_service_restarted(desk):
    """A CrosshaulError is one log line without a traceback, and the service runs again after a back-off."""
    assert await desk.run(failing(1, FAULT, desk)) is True
    assert desk.log.events == [("service_failed", str(FAULT))]
    assert not desk.log.traced
    assert desk.pauses == [2.0]


async def test_a_bug_is_logged_with_its_traceback_and_the_service_restarted(desk):
    """Any other error is logged with its traceback, and does not end the daemon."""
    error = ValueError("a bug")
    assert await desk.run(failing(1, error, desk)) is True
    assert desk.log.traced == [error]


async def test_repeated_failures_are_logged_once_per_doubling(desk):
    """Of ten failures in a row the 1st, 2nd, 4th and 8th are logged."""
    await desk.run(failing(10, FAULT, desk))
    assert desk.log.events == [("service_failed", str(FAULT))] * 4


async def test_a_recovery_is_logged_once(desk):
    """After a minute without a failure the recovery is logged with the number of failures, if there was any."""
    asyncio.get_running_loop().call_later(200, desk.stop.set)
    left = [FAULT] * 3

    async def recovers(stop: asyncio.Event) -> None:
        if left:
            raise left.pop()
        await stop.wait()

    await desk.run(recovers, until_stop)
    assert desk.log.events == [("service_failed", str(FAULT))] * 2 + [("service_recovered", 3)]


async def test_the_back_off_grows_to_its_bound(desk):
    """The pause before a restart doubles with each failure, up to 30 s."""
    await desk.run(failing(7, FAULT, desk))
    assert desk.pauses == [2.0, 4.0, 7.9, 15.8, 29.7, 29.7, 29.7]


async def test_a_failure_after_a_good_minute_is_a_first_failure(desk):
    """A service that ran for over a minute is restarted with the first back-off."""
    times = 0

    async def run(stop: asyncio.Event) -> None:
        nonlocal times
        times += 1
        if times == 5:
            desk.stop.set()
            await stop.wait()
            return
        await asyncio.sleep(61 if times == 4 else 0)
        raise FAULT

    await desk.run(run)
    assert desk.pauses == [2.0, 4.0, 7.9, 1.0]


async def test_a_service_that_ends_before_the_stop_is_restarted(desk):
    """A service that returns before the stop is logged as failed and started again."""
    times = 0

    async def run(stop: asyncio.Event) -> None:
        nonlocal times
        times += 1
        if times == 3:
            desk.stop.set()
            await stop.wait()

    assert await desk.run(run, until_stop) is True
    assert desk.log.events == [("service_failed", "the service ended without a stop")] * 2


async def test_a_service_whose_awaited_future_is_cancelled_is_restarted(desk):
    """A CancelledError that does not come from cancelling the service is a bug, and does not end the daemon."""
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
    """A LockedError ends all services and is raised itself, however a TaskGroup wrapped it."""
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
    """A group of CrosshaulErrors is logged as its first; a group with a bug in it is logged as a bug."""
    await desk.run(failing(1, error, desk))
    assert bool(desk.log.traced) is traced
    assert desk.log.events == [("service_failed", "s0" if traced else str(FAULT))]


# Draining


async def test_services_drain_before_the_end(desk):
    """After the stop each service has time to finish."""
    done = []

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        await asyncio.sleep(0.02)
        done.append(True)

    desk.stop.set()
    assert await desk.run(run, run) is True
    assert done == [True, True]
    assert not desk.log.events


@pytest.mark.parametrize("forced", [False, True])
async def test_a_drain_that_takes_too_long_is_cut(forced):
    """At the deadline, or at a second signal, running services are cancelled and logged, and the drain has failed."""
    desk = Desk(drain=30.0 if forced else 0.05)
    cleaned = []

    async def slow(stop: asyncio.Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    desk.stop.set()
    if forced:
        asyncio.get_running_loop().call_later(0.02, desk.forced.set)
    began = asyncio.get_running_loop().time()
    assert await desk.run(slow, until_stop) is False
    assert asyncio.get_running_loop().time() - began < 2
    assert cleaned == [True]
    assert desk.log.events == [("service_cut_off", "s0")]


async def test_forcing_when_all_is_done_changes_nothing(desk):
    """A second signal in the moment of the last service's end leaves the drain complete."""

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        desk.forced.set()

    desk.stop.set()
    assert await desk.run(run) is True


async def test_a_failure_in_the_drain_is_reported_and_counts(desk):
    """A service that fails while it drains is logged and not restarted, and the drain is incomplete."""

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        raise FAULT

    desk.stop.set()
    assert await desk.run(run, until_stop) is False
    assert desk.log.events == [("service_failed", str(FAULT))]


async def test_a_fatal_error_in_the_drain_is_raised(desk):
    """A fatal error in the drain is raised after the other services have drained."""
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
    """A service in its back-off does not delay the stop."""
    desk = Desk()
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
    """Cancelling the supervisor cancels its services, and they have cleaned up before it ends."""
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
    """Services run during the block and drain after it."""
    seen: list[str] = []

    async def run(stop: asyncio.Event) -> None:
        seen.append("up")
        await stop.wait()
        seen.append("drained")

    async with desk.supervisor.around([Service("s", run)], desk.forced):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append("block")
    assert seen == ["up", "block", "drained"]


async def test_around_passes_the_blocks_own_error_on(desk):
    """An error of the block is raised unchanged, after the services have drained."""
    drained = []

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        drained.append(True)

    with pytest.raises(NotReadyError, match="not ready"):
        async with desk.supervisor.around([Service("s", run)], desk.forced):
            raise NotReadyError("not ready")
    assert drained == [True]


async def test_a_fatal_error_ends_the_block_it_is_around(desk):
    """A fatal error of a service cancels the block and is raised in its place."""

    async def run(stop: asyncio.Event) -> None:
        raise LockedError("held")

    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(LockedError, match="held"):
        async with asyncio.timeout(1) as limit, desk.supervisor.around([Service("s", run)], desk.forced):
            await asyncio.sleep(60)
    assert not limit.expired()
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_cancelled_block_stays_cancelled(desk):
    """Cancelling the block drains the services, and the CancelledError is raised."""
    drained = []

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        drained.append(True)

    async def block() -> None:
        async with desk.supervisor.around([Service("s", run)], desk.forced):
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
    async with desk.supervisor.around([], desk.forced):
        pass


# Reconciling


async def test_reconcile_starts_new_services_and_drains_removed_ones(desk):
    """``reconcile`` starts new services, drains removed ones and leaves the others alone."""
    events = []

    def worker(name: str) -> Run:
        async def run(stop: asyncio.Event) -> None:
            events.append(f"{name} begins")
            await stop.wait()
            events.append(f"{name} ends")

        return run

    stays, goes, comes = (Service(name, worker(name)) for name in ("stays", "goes", "comes"))
    async with desk.supervisor.around([stays, goes], desk.forced):
        await asyncio.sleep(0.01)
        assert await desk.supervisor.reconcile([stays, comes]) is True
        await asyncio.sleep(0.01)
        assert sorted(events) == ["comes begins", "goes begins", "goes ends", "stays begins"]
    assert sorted(events[4:]) == ["comes ends", "stays ends"]


async def test_a_removed_service_that_does_not_drain_is_cut_off(desk):
    """The drain of a removed service has the same deadline, and the others continue."""
    desk = Desk(drain=0.05)

    async def stuck(stop: asyncio.Event) -> None:
        await asyncio.sleep(60)

    async with desk.supervisor.around([Service("stuck", stuck)], desk.forced):
        await asyncio.sleep(0.01)
        assert await desk.supervisor.reconcile([]) is False
    assert desk.log.events == [("service_cut_off", "stuck")]


async def test_a_fatal_error_of_an_added_service_ends_everything(desk):
    """A service that ``reconcile`` added is watched like the first ones."""

    async def run(stop: asyncio.Event) -> None:
        await asyncio.sleep(0.01)
        raise LockedError("another instance")

    async def joined() -> None:
        async with asyncio.timeout(5), desk.supervisor.around([], desk.forced):
            await asyncio.sleep(0)
            await desk.supervisor.reconcile([Service("late", run)])
            await asyncio.sleep(60)

    with pytest.raises(LockedError, match="another instance"):
        await joined()
