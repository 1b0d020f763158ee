"""Changes to a running daemon: another configuration, a pause, a bandwidth limit."""

from __future__ import annotations

import json
import signal
import time

import pytest

from support.system_fixtures import destination, until

MIB = 1 << 20


@pytest.fixture
def site(strict, site_for):
    """Make a site with one route, `r`, to one destination, `partner`."""
    return site_for(strict)


def route(site, name, **more):
    """Return another route, with its own directory beside the root."""
    path = site.home / name
    path.mkdir(exist_ok=True)
    return {"name": name, "path": str(path), "destination": "partner", "settle": {"quiet": "200ms"}, **more}


def reloaded(site):
    """Return the output of `reload` for the present configuration."""
    site.write()
    done = site.crosshaul("reload")
    assert done.returncode == 0, done
    return done.stdout


def test_what_comes_and_goes_does_not_touch_an_upload_under_way(strict, site):
    """During a large upload a route and a destination are added and work; no part is sent twice."""
    site.in_parts()
    site.config["transfer"]["bandwidth"] = "3MiB/s"
    site.write()
    with site.daemon() as daemon:
        site.add("large", bytes(20 * MIB))
        until(lambda: site.records().get("large", {}).get("state") == "uploading")
        site.config["destinations"]["second"] = destination(strict, site.external_id_file) | {"key_prefix": "second/"}
        site.config["routes"] += [route(site, "here"), route(site, "there", destination="second")]
        output = reloaded(site)
        assert "destination second added" in output
        assert "route here added" in output
        assert "route there added" in output
        (site.home / "here/a").write_bytes(b"a")
        (site.home / "there/b").write_bytes(b"b")
        until(lambda: {"a", "second/b"} <= set(strict.objects()))
        assert "large" not in strict.objects()
        until(lambda: "large" in strict.objects())
        assert daemon.stop() == 0
    calls = [each["operation"] for each in strict.calls()]
    assert (calls.count("CreateMultipartUpload"), calls.count("UploadPart")) == (1, 4)
    assert {each["writes"] for each in strict.objects().values()} == {1}


def test_a_removed_route_is_left_alone_and_comes_back(strict, site):
    """New files of a removed route stay, and are sent when the route is configured again."""
    other = route(site, "other")
    site.config["routes"].append(other)
    site.write()
    with site.daemon() as daemon:
        (site.home / "other/a").write_bytes(b"a")
        until(lambda: "a" in strict.objects())
        site.config["routes"].remove(other)
        assert "route other removed" in reloaded(site)
        (site.home / "other/b").write_bytes(b"b")
        site.add("c", b"c")
        until(lambda: "c" in strict.objects())
        assert "b" not in strict.objects()
        site.config["routes"].append(other)
        reloaded(site)
        until(lambda: "b" in strict.objects())
        assert daemon.stop() == 0


def test_changed_settings_count_from_now_on(strict, site):
    """A shorter quiet time and another prefix are in force at once."""
    site.write(settle={"quiet": "1h", "max_wait": "2h"})
    with site.daemon() as daemon:
        site.add("a", b"a")
        until(lambda: site.status()["routes"]["r"]["watcher"] == "watching")
        site.route["settle"] = {"quiet": "100ms"}
        site.destination["key_prefix"] = "new/"
        assert "2 of the destinations and routes" in reloaded(site)
        until(lambda: "new/a" in strict.objects())
        assert set(strict.objects()) == {"new/a"}
        assert daemon.stop() == 0


def test_a_route_that_moves_to_another_destination_is_never_in_two_hands(strict, site):
    """The running upload finishes at the old destination, and later files go to the new one."""
    site.in_parts()
    site.config["transfer"]["bandwidth"] = "4MiB/s"
    site.config["destinations"]["second"] = destination(strict, site.external_id_file) | {"key_prefix": "second/"}
    site.config["routes"].append(route(site, "stays", destination="second"))
    site.write()
    with site.daemon() as daemon:
        site.add("large", bytes(12 * MIB))
        until(lambda: site.records().get("large", {}).get("state") == "uploading")
        site.route["destination"] = "second"
        site.config["routes"].append(route(site, "keeps-partner"))
        reloaded(site)
        site.add("small", b"s")
        until(lambda: "second/small" in strict.objects())
        assert "large" in strict.objects()
        assert not daemon.events("service_failed", "unexpected_error")
        assert daemon.stop() == 0
    assert {each["writes"] for each in strict.objects().values()} == {1}


def test_a_bad_file_changes_nothing(strict, site):
    """For the command and for SIGHUP, every error is reported and the daemon continues unchanged."""
    with site.daemon() as daemon:
        good = site.config_file.read_text()
        site.config_file.write_text(good.replace('"quiet"', '"quite"'))
        done = site.crosshaul("reload")
        assert (done.returncode, "quite" in done.stderr) == (2, True), done
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: daemon.events("not_reloaded"))
        (event,) = daemon.events("not_reloaded")
        assert "quite" in " ".join(event["faults"])
        site.config["http"] = {"listen": "127.0.0.1:0"}
        site.write()
        done = site.crosshaul("reload")
        assert (done.returncode, "http can't change while the daemon runs" in done.stderr) == (1, True), done
        site.add("a", b"a")
        until(lambda: "a" in strict.objects())
        assert daemon.stop() == 0


def test_sighup_reloads_and_sets_the_level_of_the_log(strict, site):
    """After SIGHUP the new file is in force and logged, and the log level changes with it."""
    with site.daemon() as daemon:
        site.config["routes"].append(route(site, "more"))
        site.config["log"]["level"] = "warning"
        site.write()
        (site.home / "more/a").write_bytes(b"a")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "a" in strict.objects())
        assert not daemon.events("file_delivered")
        assert daemon.stop() == 0


def test_a_paused_route_waits_and_the_others_continue(strict, site):
    """A paused route queues its files without sending them, and status says so; resumed, they are sent."""
    site.config["routes"].append(route(site, "other"))
    site.write()
    with site.daemon() as daemon:
        assert site.crosshaul("pause", "--route", "r").stdout == "Paused: r.\n"
        site.add("a", b"a")
        (site.home / "other/b").write_bytes(b"b")
        until(lambda: "b" in strict.objects())
        until(lambda: site.status()["routes"]["r"]["pending"] == 1)
        assert site.status()["routes"]["r"]["paused"] is True
        assert "paused" in site.crosshaul("status").stdout
        assert "Route r is paused" in site.crosshaul("explain", str(site.root / "a")).stdout
        assert set(strict.objects()) == {"b"}
        assert site.crosshaul("resume").stdout == "No route is paused.\n"
        assert site.crosshaul("pause", "--route", "r", "--json").stdout == '{"paused": ["r"]}\n'
        assert site.crosshaul("resume", "--json").stdout == '{"paused": []}\n'
        until(lambda: "a" in strict.objects())
        assert site.crosshaul("pause", "--route", "none").returncode == 2
        assert daemon.stop() == 0


def test_the_line_may_be_limited_at_run_time(strict, site):
    """Four MiB at one MiB a second take their time; without the limit they do not."""
    with site.daemon() as daemon:
        assert site.crosshaul("limit", "1MiB/s").returncode == 0
        began = time.monotonic()
        site.add("slow", bytes(4 * MIB))
        until(lambda: "slow" in strict.objects())
        limited = time.monotonic() - began
        assert limited > 3
        assert site.crosshaul("limit", "off").returncode == 0
        site.add("fast", bytes(40 * MIB))
        until(lambda: "fast" in strict.objects())
        assert site.crosshaul("limit", "much").returncode == 2
        assert daemon.stop() == 0


def test_without_a_daemon_the_commands_say_so(site):
    """Without a daemon each of these commands exits with 1 and one line."""
    for verb, *arguments in (["reload"], ["pause"], ["resume"], ["limit", "1MiB/s"]):
        done = site.crosshaul(verb, *arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
        assert "No daemon answers at" in done.stderr


def test_the_socket_is_the_owner_s_alone_and_takes_no_nonsense(strict, site):
    """The socket's mode is 0600, and garbage on it causes no error of the daemon."""
    import socket

    with site.daemon() as daemon:
        path = site.state_dir / "control.sock"
        until(lambda: path.exists() and path.stat().st_mode & 0o777 == 0o600)
        for garbage in (
            b"\n",
            b"[]\n",
            b'{"do": "nothing"}\n',
            b'{"do": ["x"]}\n',
            b"\xff\xfe\n",
            b"x" * 100_000 + b"\n",
        ):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(str(path))
                connection.sendall(garbage)
                answer = connection.makefile("rb").readline()
                assert not answer or "error" in json.loads(answer)
        assert site.crosshaul("resume").returncode == 0
        assert daemon.stop() == 0
        assert not path.exists()
