"""The installed command's help, and its errors for what is impossible."""

import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from crosshaul.cli.main import VERBS
from support.system_fixtures import complaints, until


def crosshaul(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "crosshaul", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_every_verb_helps():
    """--help of the command and each verb exits with 0, has examples and exit codes, and nothing on stderr."""
    with ThreadPoolExecutor(4) as pool:
        helped = dict(zip(VERBS, pool.map(lambda verb: crosshaul(verb, "--help"), VERBS), strict=True))
    for verb, done in helped.items():
        assert (done.returncode, done.stderr) == (0, ""), verb
        assert done.stdout.startswith(f"Usage: crosshaul {verb} ")
        assert "Examples:" in done.stdout or verb == "version", verb
        assert "Exit codes:" in done.stdout, verb
    whole = crosshaul("--help")
    assert whole.returncode == 0
    assert all(f"  {verb} " in whole.stdout for verb in VERBS)


def refused(site, verb="run", *arguments):
    """Return the exit code and the one line for a person of a command that has to fail."""
    done = site.crosshaul(verb, *arguments)
    [line] = complaints(done.stderr)
    return done.returncode, line


def test_what_stands_in_the_way_is_one_line(strict, site_for, tmp_path):
    """A state_dir that is a file ends the daemon with 2 and a line that names it."""
    site = site_for(strict)
    site.config["http"] = {"listen": None}
    (tmp_path / "a-file").write_text("")
    site.config["state_dir"] = str(tmp_path / "a-file")
    site.write()
    code, line = refused(site)
    assert code == 2
    assert str(tmp_path / "a-file") in line


def test_a_port_that_is_taken_stops_no_delivery(strict, site_for):
    """A used http.listen gives a warning that names it; files are sent, and pages are served once the port is free."""
    site = site_for(strict)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site.config["http"] = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        site.write()
        site.add("file", b"1")
        with site.daemon() as daemon:
            until(lambda: "file" in strict.objects())
            assert site.config["http"]["listen"] in daemon.event("not_listening")["error"]
            taken.close()
            until(lambda: daemon.events("listening"))
            with urllib.request.urlopen(f"http://{site.config['http']['listen']}/livez", timeout=10) as answer:
                assert answer.status == 200
            assert daemon.stop() == 0


def test_without_credentials_a_push_says_so(strict, site_for):
    """Without credentials a push exits with 1 and names the settings that provide them."""
    site = site_for(strict)
    site.environment = {"HOME": str(site.home)}
    site.add("file")
    code, line = refused(site, "push")
    assert code == 1
    assert "Configure Account A's credentials" in line


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("bucket", "nowhere-to-be-found", "NoSuchBucket"),
        ("role_arn", "arn:aws:iam::222222222222:role/another", "AssumeRole"),
        ("endpoint_url", "http://127.0.0.1:9", "127.0.0.1"),
    ],
)
def test_a_destination_that_is_wrong_is_one_line(strict, site_for, key, value, words):
    """With --require-ready a wrong bucket, role or address gives one line and code 3."""
    site = site_for(strict)
    site.destination[key] = value
    site.write()
    code, line = refused(site, "run", "--require-ready")
    assert code == 3
    assert "destination partner" in line
    assert words in line


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("expected_bucket_owner", "333333333333", "Account B's admin"),
        ("region", "eu-west-1", "Set the destination's `region` to us-east-1"),
    ],
)
def test_a_push_to_what_refuses_is_one_line(strict, site_for, key, value, words):
    """A wrong owner or region gives one line at the end of a push, with the file and the remedy, and code 1."""
    site = site_for(strict)
    site.destination[key] = value
    site.write()
    path = site.add("file")
    code, line = refused(site, "push")
    assert code == 1
    assert str(path) in line
    assert words in line


def test_a_missing_root_is_one_line(strict, site_for):
    """A missing root fails a push with a line that names it."""
    site = site_for(strict)
    site.root.rmdir()
    code, line = refused(site, "push")
    assert code == 1
    assert str(site.root) in line
