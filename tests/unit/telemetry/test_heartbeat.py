"""The heartbeat pings a real socket while all is clear and logs failures; its address appears nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json

import pytest
import structlog
from aiohttp import web

from crosshaul.service.heartbeat_ping import ping
from crosshaul.telemetry import logs
from crosshaul.telemetry.health import HealthReport, all_clear
from crosshaul.telemetry.heartbeat import Heartbeat

WELL, ILL = HealthReport(ok=True), HealthReport(ok=False, reasons=("no destination takes files",))
LATE = "the oldest file has been pending for 901 s; at most 900 s are allowed"
SECRET = "0f3c5f6e-ping-me"


async def ask(url):
    """Ping as the daemon does."""
    return await ping(url, None)


class Monitor:
    """A monitor that counts pings and answers with ``status``."""

    def __init__(self):
        self.received, self.status, self.hanging = [], 200, False
        self.url = ""

    async def answer(self, request):
        self.received.append((request.method, request.path_qs))
        if self.hanging:
            await asyncio.sleep(120)
        headers = {"Location": "/elsewhere"} if self.status == 302 else {}
        return web.Response(status=self.status, headers=headers)


@pytest.fixture
async def monitor():
    monitor, application = Monitor(), web.Application()
    application.router.add_route("*", "/{path:.*}", monitor.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monitor.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}?rid={SECRET}"
    yield monitor
    await runner.cleanup()


@pytest.fixture
def stream():
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    yield stream
    structlog.reset_defaults()
    assert SECRET not in stream.getvalue()


def events(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def names(stream):
    return [each["event"] for each in events(stream)]


async def test_it_is_pinged_while_all_is_well(monitor, stream):
    """A good verdict is one GET of the address, and no log event."""
    beating = Heartbeat(logs.get("heartbeat"), ask)
    await beating.beat(monitor.url, WELL)
    assert monitor.received == [("GET", f"/{SECRET}?rid={SECRET}")]
    assert events(stream) == []


async def test_it_is_withheld_while_something_is_wrong(monitor, stream):
    """A bad verdict sends no ping; its begin is logged once with the reasons, and its end too."""
    beating = Heartbeat(logs.get("heartbeat"), ask)
    for verdict in (ILL, ILL, ILL, WELL, ILL):
        await beating.beat(monitor.url, verdict)
    assert len(monitor.received) == 1
    assert names(stream) == ["heartbeat_withheld", "heartbeat_resumed", "heartbeat_withheld"]
    assert events(stream)[0]["reasons"] == ["no destination takes files"]


async def test_a_monitor_that_fails_is_reported_then_counted_then_recovered(monitor, stream):
    """Of ten failures the 1st, 2nd, 4th and 8th are logged, then the recovery with their number."""
    beating = Heartbeat(logs.get("heartbeat"), ask)
    monitor.status = 500
    for _ in range(10):
        await beating.beat(monitor.url, WELL)
    monitor.status = 204
    await beating.beat(monitor.url, WELL)
    await beating.beat(monitor.url, WELL)
    assert [each["failures"] for each in events(stream)] == [1, 2, 4, 8, 10]
    assert names(stream) == ["heartbeat_failed"] * 4 + ["heartbeat_recovered"]
    assert events(stream)[0]["error"] == "the monitor answered HTTP 500"


async def test_a_redirect_is_not_followed(monitor, stream):
    """A redirect is a failure and is not followed, so that no other host gets the address."""
    monitor.status = 302
    await Heartbeat(logs.get("heartbeat"), ask).beat(monitor.url, WELL)
    assert len(monitor.received) == 1
    assert events(stream)[0]["error"] == "the monitor answered HTTP 302"


async def test_a_monitor_that_hangs_is_given_up(monitor, stream, monkeypatch):
    """A monitor that does not answer is a failure at the deadline."""
    monkeypatch.setattr("crosshaul.service.heartbeat_ping.DEADLINE_SECONDS", 0.2)
    monitor.hanging = True
    async with asyncio.timeout(60):
        await Heartbeat(logs.get("heartbeat"), ask).beat(monitor.url, WELL)
    assert "no response from the monitor" in events(stream)[0]["error"]


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_whatever_answers_is_a_line_without_the_address(answer, stream):
    """A port that hangs up, or does not speak HTTP, is a failure in one line without the library's message."""

    async def speak(_reader, writer):
        writer.write(answer)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await Heartbeat(logs.get("heartbeat"), ask).beat(f"http://127.0.0.1:{port}/{SECRET}", WELL)
    assert names(stream) == ["heartbeat_failed"]
    assert events(stream)[0]["error"].startswith("the monitor can't be reached")


async def test_nobody_there_is_a_line_without_the_address(stream):
    """A closed port and an unresolvable name are failures of one line each."""
    beating = Heartbeat(logs.get("heartbeat"), ask)
    await beating.beat(f"http://127.0.0.1:1/{SECRET}", WELL)
    await beating.beat(f"http://no-such-host.invalid/{SECRET}", WELL)
    assert names(stream) == ["heartbeat_failed"] * 2


def status(**others):
    return {
        "daemon": {"running": True},
        "journal": {"error": None},
        "oldest_pending_seconds": 0.0,
        "routes": {"r": {"watcher": "watching"}},
    } | others


@pytest.mark.parametrize(
    ("snapshot", "alive", "usable", "output"),
    [
        (status(), WELL, WELL, ()),
        (status(oldest_pending_seconds=899.0), WELL, WELL, ()),
        (status(oldest_pending_seconds=901.0), WELL, WELL, (LATE,)),
        (status(journal={"error": "disk full"}), WELL, WELL, ("the journal can't be written: disk full",)),
        (status(routes={"r": {"watcher": "root missing"}}), WELL, WELL, ("the directory of route r is missing",)),
        (status(), WELL, ILL, ILL.reasons),
        (status(), ILL, WELL, ILL.reasons),
        (status(), WELL, HealthReport(ok=True, reasons=("one of two is parked",)), ()),
    ],
)  # fmt: skip
def test_what_is_all_clear(snapshot, alive, usable, output):
    """All clear needs a young backlog and a sound journal, loops, destinations and directories."""
    assert all_clear(snapshot, 900.0, alive, usable) == HealthReport(not output, output)
