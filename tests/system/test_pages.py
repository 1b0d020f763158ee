"""The HTTP pages of a running daemon, and its requests to a monitoring service."""

from __future__ import annotations

import contextlib
import http.server
import threading
import urllib.error
import urllib.request

import pytest

from support.system_fixtures import destination, until

TOKEN = "token-of-the-pages-0123456789"


@pytest.fixture
def site(strict, site_for):
    """One route to one destination, with pages on a free port."""
    site = site_for(strict)
    site.config["http"] = {"listen": "127.0.0.1:0"}
    site.write()
    return site


def got(daemon, path, token=None):
    """Return status and text of a response."""
    port = daemon.event("listening")["port"]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextlib.contextmanager
def monitor():
    """Serve a monitoring service on a free port; yield its address and the requested paths."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            received.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/ping-secret", received
        server.shutdown()


def test_commit_times_are_among_the_metrics(site):
    """A delivery is counted in the histogram of the journal's commits."""
    with site.daemon() as daemon:
        site.add("a", b"a")
        until(lambda: daemon.events("file_delivered"))
        lines = got(daemon, "/metrics")[1].splitlines()
    (count,) = [line.split()[1] for line in lines if line.startswith("crosshaul_journal_commit_seconds_count")]
    assert float(count) > 3


def test_a_file_that_settles_is_reported_only_while_it_does(site):
    """The count of settling files is the present one, not that of the last scan."""
    site.write(settle={"quiet": "6s"})
    with site.daemon() as daemon:
        until(lambda: 'crosshaul_settling_files{route="r"} 0.0' in got(daemon, "/metrics")[1])
        site.add("a", b"a")
        until(lambda: '"settling": 1' in got(daemon, "/status.json")[1])
        assert "1 file is still settling" in got(daemon, "/")[1]
        until(lambda: '"settling": 0' in got(daemon, "/status.json")[1])
        until(lambda: daemon.events("file_delivered"))


def test_what_a_reload_removed_leaves_no_metric_behind(strict, site):
    """A removed destination or route leaves no gauge that could raise an alert."""
    site.config["destinations"]["second"] = destination(strict, site.external_id_file)
    (site.home / "there").mkdir()
    site.config["routes"].append({"name": "leaves", "path": str(site.home / "there"), "destination": "second"})
    site.write()
    with site.daemon() as daemon:
        until(lambda: 'crosshaul_credentials_expiry_seconds{destination="second"}' in got(daemon, "/metrics")[1])
        until(lambda: 'crosshaul_watcher_up{route="leaves"}' in got(daemon, "/metrics")[1])
        del site.config["destinations"]["second"], site.config["routes"][1]
        site.write()
        assert site.crosshaul("reload").returncode == 0
        until(lambda: '"second"' not in (output := got(daemon, "/metrics")[1]) and '"leaves"' not in output)
        assert 'crosshaul_watcher_up{route="r"}' in got(daemon, "/metrics")[1]


def test_the_token_guards_all_but_the_probes(site):
    """With a token from a file the pages require it, the probes do not, and it appears nowhere."""
    (site.home / "token").write_text(TOKEN)
    site.config["http"]["token_file"] = str(site.home / "token")
    site.write()
    with site.daemon() as daemon:
        until(lambda: got(daemon, "/readyz") == (200, "ok\n"))
        assert [got(daemon, path)[0] for path in ("/", "/metrics", "/status.json")] == [401, 401, 401]
        assert [got(daemon, path, TOKEN)[0] for path in ("/", "/metrics", "/status.json")] == [200, 200, 200]
        assert TOKEN not in daemon.log.read_text()


def test_a_token_file_that_is_missing_ends_the_start(site):
    """Without its token file the daemon does not start, and names the file."""
    site.config["http"]["token_file"] = str(site.home / "missing")
    site.write()
    done = site.crosshaul("run")
    assert done.returncode == 2
    assert f"http.token_file: {site.home}/missing cannot be read" in done.stderr


def test_a_monitor_hears_from_it_only_while_all_is_well(strict, site):
    """The heartbeat stops while the account refuses and resumes afterwards; its address appears nowhere."""
    with monitor() as (url, received):
        site.config["heartbeat"] = {"url": url, "every": "1s"}
        site.write()
        with site.daemon() as daemon:
            until(lambda: len(received) > 1)
            strict.fault("error", "PutObject", rule={"times": None}, code="AccessDenied", message="Denied", status=403)
            site.add("a", b"a")
            assert "parked" in str(daemon.event("heartbeat_withheld")["reasons"])
            before = len(received)
            strict.clear_faults()
            until(lambda: daemon.events("destination_resumed"))
            until(lambda: len(received) > before)
            assert "ping-secret" not in daemon.log.read_text() + str(site.status())
    assert set(received) == {"/ping-secret"}
