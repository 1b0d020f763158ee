"""The SystemdNotifier: watchdog, and more time for a drain."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from crosshaul.model import DestinationState, DestinationStatus
from crosshaul.service.systemd import SystemdNotifier
from crosshaul.telemetry.health import Liveness
from crosshaul.telemetry.loop_lag import LagMeter
from crosshaul.telemetry.sd_notify import Notifier
from support.virtual_time import VirtualClock


class RecordingNotifier(Notifier):
    """A Notifier that records its calls."""

    def __init__(self):
        super().__init__(None, watchdog_seconds=0.2)
        self.calls = []

    def ready(self):
        self.calls.append("ready")

    def status(self, text):
        self.calls.append("status")

    def keep_alive(self):
        self.calls.append("keep_alive")

    def stopping(self):
        self.calls.append("stopping")

    def extend(self, seconds):
        self.calls.append("extend")


class EmptyJournal:
    async def route_counts(self):
        return []


def fake_runtime(now):
    reporter = SimpleNamespace(status=DestinationStatus("partner", DestinationState.READY), uploading={})
    pipeline = SimpleNamespace(reporter=reporter, transfer=SimpleNamespace(accepted_bodies=0))
    liveness = Liveness(lambda: now[0])
    liveness.expect("transfer.partner")
    return SimpleNamespace(destinations={"partner": pipeline}, liveness=liveness, journal=EmptyJournal())


async def calls_within(runtime, lag, draining=None, seconds=0.3):
    """Run a SystemdNotifier for this many virtual seconds and return its calls."""
    notifier, stop = RecordingNotifier(), asyncio.Event()
    task = asyncio.create_task(SystemdNotifier(notifier, runtime, lag, draining or asyncio.Event()).run(stop))
    await asyncio.sleep(seconds)
    stop.set()
    await task
    return notifier.calls


@pytest.mark.parametrize(("silence", "lag_seconds", "fed"), [(0, 0.0, True), (61, 0.0, False), (0, 0.15, False)])
async def test_only_progress_feeds_the_watchdog(silence, lag_seconds, fed):
    """A transfer without a heartbeat for a minute, or an event loop that lags, does not feed the watchdog."""
    now = [1000.0]
    runtime, lag = fake_runtime(now), LagMeter(lambda _: None, VirtualClock())
    now[0] += silence
    lag.max = lag_seconds
    calls = await calls_within(runtime, lag, seconds=0.02)
    assert calls[0] == "ready"
    assert ("keep_alive" in calls) is fed


async def test_a_drain_without_progress_gets_no_more_time():
    """While it drains, more time is requested only after further files were taken."""
    runtime, draining = fake_runtime([0.0]), asyncio.Event()
    draining.set()
    lag = LagMeter(lambda _: None, VirtualClock())
    assert "extend" not in await calls_within(runtime, lag, draining)
    runtime.destinations["partner"].transfer.accepted_bodies = 3
    calls = await calls_within(runtime, lag, draining)
    assert calls.count("extend") == 1
    assert "stopping" in calls
