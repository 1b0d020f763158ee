"""Liveness and readiness, the status snapshot, and the loop's lag."""

import asyncio
import json
import time

from crosshaul.concurrency.clock import SystemClock
from crosshaul.errors import Diagnosis, FaultKind
from crosshaul.model import DestinationState, DestinationStatus, RouteCounts, RouteStatus, State
from crosshaul.telemetry.health import Liveness, live, ready
from crosshaul.telemetry.loop_lag import LagMeter
from crosshaul.telemetry.status import snapshot

DENIED = Diagnosis(FaultKind.DESTINATION, "AccessDenied", "Access Denied", "PutObject", 403)
READY = DestinationStatus("partner", DestinationState.READY)
PARKED = DestinationStatus("other", DestinationState.PARKED, retry_at=1060.0, last_error=DENIED)


def test_a_loop_that_stops_beating_is_named():
    """A loop is stale once its last beat is older than the limit; the verdict has its name and the age."""
    now = [0.0]
    liveness = Liveness(lambda: now[0], limit=10.0)
    liveness.expect("intake", "transfer")
    now[0] = 10.0
    assert live(liveness).ok
    liveness.beat("intake")
    now[0] = 15.0
    verdict = live(liveness)
    assert not verdict.ok
    assert verdict.reasons == ("the transfer loop has not moved for 15 s",)


def test_a_loop_that_ended_is_not_missed():
    """A loop that is no longer expected does not make the daemon unhealthy."""
    now = [0.0]
    liveness = Liveness(lambda: now[0], limit=10.0)
    liveness.expect("intake", "transfer")
    liveness.expect("transfer")
    liveness.beat("intake")
    now[0] = 100.0
    assert [reason.split()[1] for reason in live(liveness).reasons] == ["transfer"]


def test_ready_needs_the_journal_and_a_usable_destination():
    """Ready means a writable journal and a ready destination; the other destinations are among the reasons."""
    assert ready(None, [READY]).reasons == ()
    assert not ready("The disk is full.", [READY]).ok
    assert not ready(None, [PARKED]).ok
    assert not ready(None, []).ok
    mixed = ready(None, [READY, PARKED])
    assert mixed.ok
    assert mixed.reasons == (f"destination other is parked: {DENIED.line()}",)


def example():
    tallies = [
        RouteCounts("exports", {State.PENDING: 2, State.CHANGED: 1, State.DELIVERED: 5}, 300, 5000, 990.0),
        RouteCounts("images", {State.UPLOADING: 1, State.QUARANTINED: 4, State.GONE: 9}, 7, 0, None),
    ]
    routes = [RouteStatus("exports", "watching", 995.0, 0.5, 2, 3)]
    destinations = [DestinationStatus("partner", DestinationState.READY, credentials_expire_at=1600.0), PARKED]
    return snapshot(
        tallies,
        destinations,
        routes,
        1000.0,
        daemon_pid=42,
        configured_routes=["new"],
        configured_destinations=["partner", "fresh"],
    )


def test_the_snapshot_has_the_contracted_keys():
    """Totals, destinations and routes have the documented keys; changed files count as pending."""
    status = example()
    totals = {key: status[key] for key in ("pending", "uploading", "delivered", "quarantined", "pending_bytes")}
    assert totals == {"pending": 3, "uploading": 1, "delivered": 5, "quarantined": 4, "pending_bytes": 307}
    assert status["oldest_pending_seconds"] == 10.0
    assert status["daemon"] == {"running": True, "pid": 42}
    partner = status["destinations"]["partner"]
    assert (partner["state"], partner["credentials_expire_in_seconds"], partner["last_error"]) == ("ready", 600.0, None)
    exports = status["routes"]["exports"]
    assert (exports["pending"], exports["delivered"], exports["quarantined"]) == (3, 5, 0)
    assert (exports["watcher"], exports["last_scan_at"]) == ("watching", 995.0)
    assert json.loads(json.dumps(status)) == status


def test_the_snapshot_tells_a_parked_destination_and_what_is_not_known_yet():
    """A parked destination has its error and next try; one that the journal does not have yet is starting."""
    status = example()
    other = status["destinations"]["other"]
    assert (other["state"], other["retry_in_seconds"]) == ("parked", 60.0)
    assert other["last_error"] == DENIED.line()
    assert status["destinations"]["fresh"]["state"] == "starting"
    assert status["routes"]["new"] == {**status["routes"]["new"], "watcher": "off", "pending": 0}


def test_the_snapshot_of_nothing_is_zeros():
    """A snapshot before the first run has zeros and no daemon."""
    status = snapshot([], [], [], 0.0, daemon_pid=None)
    assert (status["pending"], status["oldest_pending_seconds"], status["daemon"]["running"]) == (0, 0.0, False)


async def test_a_blocked_loop_is_measured():
    """Blocking the loop for 500 ms is a lag of at least 400 ms, and the largest lag is kept."""
    lags: list[float] = []
    meter = LagMeter(lags.append, SystemClock(), interval=0.02)
    stop = asyncio.Event()
    task = asyncio.create_task(meter.run(stop))
    await asyncio.sleep(0.05)
    time.sleep(0.5)  # noqa: ASYNC251 - blocking the loop is what is tested
    await asyncio.sleep(0.05)
    stop.set()
    await task
    assert meter.max >= 0.4
    assert max(lags) == meter.max
    assert min(lags) < meter.max
