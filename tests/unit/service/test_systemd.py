"""herald: what the watchdog hears."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from crosshaul.concurrency.clock import SystemClock
from crosshaul.model import DestinationState, DestinationStatus
from crosshaul.service.systemd import SystemdNotifier
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.lag import LagMeter
from crosshaul.telemetry.sd_notify import Notifier


class Heard(Notifier):
    """A notifier that keeps what it is told."""

    def __init__(self):
        super().__init__(None, watchdog_seconds=0.2)
        self.told = []

    def ready(self):
        self.told.append("ready")

    def status(self, text):
        self.told.append("status")

    def keep_alive(self):
        self.told.append("well")

    def stopping(self):
        self.told.append("stopping")

    def extend(self, seconds):
        self.told.append("extend")


class Tallies:
    async def route_counts(self):
        return []


def world(now):
    reporter = SimpleNamespace(status=DestinationStatus("partner", DestinationState.READY), uploading={})
    pipeline = SimpleNamespace(reporter=reporter, transfer=SimpleNamespace(accepted_bodies=0))
    liveness = Liveness(lambda: now[0])
    liveness.expect("transfer.partner")
    return SimpleNamespace(destinations={"partner": pipeline}, liveness=liveness, journal=Tallies())


async def heard_over(runtime, lag, draining=None, seconds=0.3):
    notifier, stop = Heard(), asyncio.Event()
    herald = SystemdNotifier(notifier, runtime, lag, draining or asyncio.Event())
    task = asyncio.create_task(herald.run(stop))
    await asyncio.sleep(seconds)
    stop.set()
    await task
    return notifier.told


@pytest.mark.parametrize(("silence", "late", "fed"), [(0, 0.0, True), (61, 0.0, False), (0, 0.15, False)])
async def test_only_proof_feeds_the_watchdog(silence, late, fed):
    """A destination's loop that has not moved for a minute, or an event loop that was late, is no proof of life."""
    now = [1000.0]
    runtime, lag = world(now), LagMeter(lambda _: None, SystemClock())
    now[0] += silence
    lag.max = late
    told = await heard_over(runtime, lag, seconds=0.02)
    assert told[0] == "ready"
    assert ("well" in told) is fed


async def test_a_drain_that_stands_still_gets_no_more_time():
    """While it drains, more time is asked for only after something more has arrived."""
    runtime, draining = world([0.0]), asyncio.Event()
    draining.set()
    lag = LagMeter(lambda _: None, SystemClock())
    assert "extend" not in await heard_over(runtime, lag, draining)
    runtime.destinations["partner"].transfer.accepted_bodies = 3
    told = await heard_over(runtime, lag, draining)
    assert told.count("extend") == 1
    assert "stopping" in told
