"""The HTTP server: responses, access control, and errors of listening."""

import asyncio
import base64
import json
import os
import socket

import aiohttp
import pytest

from crosshaul.errors import ListenError, StateDirError
from crosshaul.model import DestinationState, DestinationStatus, Fingerprint, Record, RouteStatus, State
from crosshaul.telemetry.health import HealthReport
from crosshaul.telemetry.history import Sample
from crosshaul.telemetry.status import snapshot
from crosshaul.telemetry.web import PageSources, server, serving

ROUTE = "<script>alert(1)</script>"
STATUS = snapshot(
    [], [DestinationStatus("partner", DestinationState.READY)], [RouteStatus(ROUTE, "watching")], 0.0, daemon_pid=1
)


async def _ready():
    return HealthReport(ok=False, reasons=("the journal is not open",))


async def _status():
    return STATUS


async def _records():
    record = Record(
        id=1,
        route=ROUTE,
        destination="partner",
        path=b"<img src=x onerror=alert(1)>\n\x1b[31m",
        fingerprint=Fingerprint(size=5, mtime_ns=0, ctime_ns=0, inode=1),
        key="a",
        state=State.UPLOADING,
        attempts=0,
        changed_at=0.0,
        due_at=0.0,
        first_seen_at=0.0,
        generation=1,
    )
    return [record]


def sources(**others):
    given = {
        "live": lambda: HealthReport(ok=True),
        "ready": _ready,
        "metrics": lambda: b"a 1\n",
        "status": _status,
        "samples": lambda: [Sample(0.0, 3, 1.0, 0.0), Sample(60.0, 2, 61.0, 1024.0)],
        "sending": _records,
        "waiting": _records,
        "failed": _records,
    }
    return PageSources(**(given | others))


async def fetch(path, method="GET", host=None, token=None, shown=None, local=True, **others):
    headers = ({"Host": host} if host else {}) | ({"Authorization": shown} if shown else {})
    async with (
        serving("127.0.0.1", 0, sources(**others), token, local=local) as port,
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", headers=headers) as response,
    ):
        return response.status, await response.text(), response.headers


async def test_livez_and_readyz_answer_with_reasons():
    """A good verdict is 200, a bad one is 503 with a line for each reason."""
    assert (await fetch("/livez"))[:2] == (200, "ok\n")
    assert (await fetch("/readyz"))[:2] == (503, "not ok\nthe journal is not open\n")


async def test_metrics_come_in_prometheus_format():
    """The metrics are served unchanged with Prometheus's content type."""
    status, text, headers = await fetch("/metrics")
    assert (status, text) == (200, "a 1\n")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_status_is_the_snapshot_as_json():
    """``/status.json`` is what ``status --json`` prints."""
    status, text, headers = await fetch("/status.json")
    assert status == 200
    assert json.loads(text) == STATUS
    assert headers["Content-Type"].startswith("application/json")


async def test_the_page_shows_routes_and_escapes_them():
    """Names of routes, destinations and files are escaped on the page."""
    status, text, headers = await fetch("/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert "&lt;script&gt;" in text
    assert text.count("<script") == text.count('<script src="/page.js" defer>') == 1
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "\x1b" not in text
    assert "the journal is not open" in text
    assert text.count("<polyline") == 3
    assert "Files can&#39;t be delivered" in text


@pytest.mark.parametrize(("path", "kind"), [("/page.css", "text/css"), ("/page.js", "text/javascript")])
async def test_style_and_script_come_from_their_own_paths(path, kind):
    """Style and script have their own paths, since the policy allows nothing inline."""
    status, text, headers = await fetch(path)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
    assert text
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/livez", "/nothing-here", "/status.json"])
async def test_every_answer_has_strict_headers(path):
    """All responses, also errors, forbid framing, sniffing, caching and foreign content, and hide the version."""
    headers = (await fetch(path))[2]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "crosshaul"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_reading_is_allowed(method):
    """Any method but GET and HEAD is 405."""
    status, _, headers = await fetch("/status.json", method)
    assert status == 405
    assert set(headers["Allow"].split(",")) == {"GET", "HEAD"}


async def test_head_has_no_body():
    """HEAD answers like GET, without the body."""
    status, text, headers = await fetch("/status.json", "HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 0


async def test_a_foreign_name_is_turned_away_on_loopback():
    """On loopback a request by a foreign host name is refused; localhost and addresses are served."""
    assert (await fetch("/status.json", host="evil.example:9464"))[0] == 421
    assert (await fetch("/livez", host="localhost:9464"))[0] == 200
    assert (await fetch("/livez", host="[::1]:9464"))[0] == 200


TOKEN = "0123456789abcdef-._~+/=="


def basic(password, user="anybody"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("path", ["/", "/status.json", "/metrics", "/page.css", "/page.js", "/no-such-thing"])
@pytest.mark.parametrize(
    "shown", [None, "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", basic("x"), "Basic %%", TOKEN, "Basic é"]
)
async def test_without_the_token_every_path_is_401(path, shown):
    """Without the token every path, also an unknown one, is 401, and a browser asks for the password."""
    status, text, headers = await fetch(path, token=TOKEN, shown=shown)
    assert status == 401
    assert text == "Authenticate with http.token, as Bearer or as the password.\n"
    assert headers["WWW-Authenticate"].startswith("Basic ")
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN), basic(TOKEN, user="")])
async def test_the_token_opens_as_a_bearers_and_as_a_password(shown):
    """The token is accepted as Bearer, and as the password of any user."""
    assert (await fetch("/status.json", token=TOKEN, shown=shown))[0] == 200


async def test_probes_need_no_token_and_have_no_reasons():
    """The probes are open without the token; their reasons are shown with it only."""
    assert (await fetch("/livez", token=TOKEN))[:2] == (200, "ok\n")
    assert (await fetch("/readyz", token=TOKEN))[:2] == (503, "not ok\n")
    assert (await fetch("/readyz", token=TOKEN, shown=f"Bearer {TOKEN}"))[1] == "not ok\nthe journal is not open\n"


async def test_beyond_loopback_any_name_is_answered():
    """Beyond loopback any host name is served, because the token protects."""
    output = await fetch("/livez", host="crosshaul.example:9464", token=TOKEN, local=False)
    assert output[:2] == (200, "ok\n")


async def test_a_failing_source_is_one_line_with_503():
    """A source that raises is 503 with one line and no traceback."""

    async def broken():
        raise StateDirError("the journal is damaged")

    assert (await fetch("/status.json", status=broken))[:2] == (503, "the journal is damaged\n")


async def test_a_source_that_hangs_is_given_up(monkeypatch):
    """A source that hangs is 503 at the deadline."""
    monkeypatch.setattr(server, "_DEADLINE_SECONDS", 0.05)

    async def hanging():
        await asyncio.sleep(60)

    assert (await fetch("/status.json", status=hanging))[0] == 503


async def test_a_port_in_use_is_one_clear_line():
    """A port in use is a ListenError with the address, the setting and a hint."""
    async with serving("127.0.0.1", 0, sources()) as port:
        with pytest.raises(
            ListenError, match=rf"^http\.listen: 127\.0\.0\.1:{port} is in use .* set another port"
        ) as output:
            async with serving("127.0.0.1", port, sources()):
                pass
    assert "\n" not in str(output.value)


@pytest.mark.parametrize(
    ("host", "output"),
    [("192.0.2.1", "has no address 192.0.2.1"), ("no-such-host.invalid", "can't be resolved")],
)
async def test_an_address_that_is_not_ours_is_one_clear_line(host, output):
    """An address of another machine and an unknown name each have a hint."""
    with pytest.raises(ListenError, match=output):
        async with serving(host, 0, sources()):
            pass


@pytest.mark.parametrize(
    ("error", "output"),
    [
        (PermissionError(13, "Permission denied"), "ports below 1024"),
        (socket.gaierror(-2, "unknown"), "can't be resolved"),
        (OSError(97, os.strerror(97)), "can't be listened on"),
    ],
)
def test_every_error_of_listening_has_a_message(error, output):
    """Each error of listening has its own message (root never gets the first)."""
    assert output in server._listen_error("::1", 80, error)
    assert "[::1]:80" in server._listen_error("::1", 80, error)


async def test_the_port_is_free_again_after_the_block():
    """Leaving the block closes the listener at once, and it can be opened again."""
    async with serving("127.0.0.1", 0, sources()) as port:
        pass
    async with serving("127.0.0.1", port, sources()) as again:
        assert again == port
