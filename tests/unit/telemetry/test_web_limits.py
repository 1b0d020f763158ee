"""The HTTP server under attack: connections, time and log are bounded, and invalid requests are answered."""

import asyncio
import contextlib
import io
import json

import pytest
import structlog

from crosshaul.telemetry import logs
from crosshaul.telemetry.health import HealthReport
from crosshaul.telemetry.web import PageSources, connections, serving

TOKEN = "0123456789abcdef"


async def _verdict():
    return HealthReport(ok=True)


async def _nothing():
    return []


async def _status():
    return {}


SOURCES = PageSources(
    live=lambda: HealthReport(ok=True),
    ready=_verdict,
    metrics=lambda: b"a 1\n" * 500_000,
    status=_status,
    samples=list,
    sending=_nothing,
    waiting=_nothing,
    failed=_nothing,
)


@pytest.fixture
def log():
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    yield stream
    structlog.reset_defaults()


def events(log):
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def asked(port, data):
    """Return the first line and the rest of the response to raw bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


def request(*headers, path=b"/livez"):
    return b"\r\n".join([b"GET %s HTTP/1.1" % path, *headers, b"Connection: close", b"", b""])


ODD = {
    "authorization": (request(b"Host: localhost", b"Authorization: Bearer \xff", path=b"/"), {"401"}),
    "basic": (request(b"Host: localhost", b"Authorization: Basic \xff\xfe", path=b"/"), {"401"}),
    "port": (request(b"Host: localhost:99999"), {"400"}),
    "no port": (request(b"Host: localhost:x"), {"400"}),
    "bytes": (request(b"Host: \xff\xfe"), {"400", "421"}),
    "brackets": (request(b"Host: ["), {"400", "421"}),
    "none": (request(), {"200", "400", "421"}),
    "both lengths": (request(b"Host: localhost", b"Transfer-Encoding: chunked", b"Content-Length: 3"), {"400"}),
    "huge": (request(b"Host: localhost", b"X: " + b"x" * 100_000), {"400"}),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", {"400"}),
    "url": (request(b"Host: localhost", path=b"http://[/"), {"400", "421"}),
}


@pytest.mark.parametrize(("data", "codes"), ODD.values(), ids=ODD)
async def test_an_odd_request_is_refused_without_a_traceback(log, data, codes):
    """An invalid request is answered with a client error, and is at most one line in the log."""
    async with serving("127.0.0.1", 0, SOURCES, TOKEN if b"Authorization" in data else None) as port:
        line, _ = await asked(port, data)
        assert line.split()[1] in codes, line
        assert (await asked(port, request(b"Host: localhost")))[0].split()[1] == "200"
    assert not any("exception" in each for each in events(log))
    assert len(log.getvalue()) < 1000


async def test_a_flood_of_nonsense_is_a_few_lines(log):
    """A thousand invalid requests are logged at doublings."""
    async with serving("127.0.0.1", 0, SOURCES) as port:
        for _ in range(100):
            await asyncio.gather(*(asked(port, ODD["both lengths"][0]) for _ in range(10)))
    assert 1 <= len(events(log)) <= 11


async def test_connections_are_bounded_and_the_idle_ones_go_first(log, monkeypatch):
    """With hundreds of idle connections the page still answers, and the limit holds."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 8)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 600.0)
    async with serving("127.0.0.1", 0, SOURCES) as port:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for _ in range(3):
            assert (await asked(port, request(b"Host: localhost")))[0].split()[1] == "200"
        async with asyncio.timeout(60):
            while len([reader for reader, _ in opened if not reader.at_eof() and reader.exception() is None]) > 8:
                await asyncio.sleep(0.02)
        for _, writer in opened:
            writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTTP/1.1\r\nHost: loc"])
async def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch, begun):
    """A connection that sends nothing, or half a head, is closed at the deadline."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    async with serving("127.0.0.1", 0, SOURCES) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_who_does_not_read_his_answer_is_cut_off(monkeypatch):
    """A client that does not read its response is disconnected."""
    monkeypatch.setattr(connections, "RESPONSE_SECONDS", 0.3)
    async with serving("127.0.0.1", 0, SOURCES) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        await asyncio.sleep(1.0)
        got = 0
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1 << 20):
                    got += len(part)
        assert got < 20 * 2_000_000
        writer.close()


async def test_no_descriptors_is_reported_at_doublings_and_passes(log, monkeypatch):
    """When accept() fails it is retried each second, and logged at doublings."""
    monkeypatch.setattr(connections, "_ACCEPT_RETRY_SECONDS", 0.001)
    loop, failures = asyncio.get_running_loop(), 100
    taken = loop.sock_accept

    async def refusing(listening):
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(24, "Too many open files")
        return await taken(listening)

    monkeypatch.setattr(loop, "sock_accept", refusing)
    async with serving("127.0.0.1", 0, SOURCES) as port:
        assert (await asked(port, request(b"Host: localhost")))[0].split()[1] == "200"
    output = events(log)
    assert len(output) <= 8
    assert "Too many open files" in output[0]["error"]
