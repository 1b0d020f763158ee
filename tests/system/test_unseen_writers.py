"""A service without CAP_LEASE whose files are written by another user: nothing of a paused writer is lost."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from support.system_fixtures import until

SERVICE, WRITER = 65532, 4711
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv, to become another user"
)
# The interpreter of a developer may lie where only root reads; that capability does not open others' /proc/PID/fd.
AS_SERVICE = [
    "setpriv", f"--reuid={SERVICE}", f"--regid={SERVICE}", "--clear-groups", "--bounding-set=-all,+dac_read_search",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
]  # fmt: skip


@pytest.fixture
def site(strict, site_for, tmp_path):
    """Make the service's own directories, and a root that both users write to."""
    site = site_for(strict, after_upload="delete")
    site.under = AS_SERVICE
    for parent in (tmp_path, *tmp_path.parents[:-1]):
        parent.chmod(parent.stat().st_mode | 0o011)
    os.chown(site.home, SERVICE, SERVICE)
    os.chown(site.external_id_file, SERVICE, SERVICE)
    site.root.chmod(0o777)
    return site


def add(site, name: str, content: bytes):
    """Write a file in place, as the other user."""
    path = site.add(name, content)
    os.chown(path, WRITER, WRITER)
    return path


def test_a_paused_writer_of_another_user_loses_nothing(strict, site):
    """While the writer pauses with its file open the source stays, and the rest arrives; the log says so."""
    with site.daemon() as daemon:
        until(lambda: daemon.events("writers_may_be_unseen"))
        with add(site, "paused", b"").open("ab") as paused:
            paused.write(b"first")
            paused.flush()
            until(lambda: daemon.events("writers_unseen"))
            assert strict.objects()["paused"]["size"] == 5
            time.sleep(2)
            paused.write(b" and rest")
        until(lambda: strict.objects()["paused"]["size"] == 14)
        (output,) = daemon.events("writers_unseen")
        assert f"belongs to another user (uid {WRITER}), and the service has no CAP_LEASE" in output["reason"]
        own = site.add("own", b"own")
        os.chown(own, SERVICE, SERVICE)
        until(lambda: not own.exists())
        assert daemon.stop() == 0
    assert (site.root / "paused").read_bytes() == b"first and rest"


def test_a_push_says_which_sources_stay_and_ends(strict, site):
    """One push delivers and exits with a line for the staying sources; explain, status and check name them too."""
    add(site, "f", b"1")
    os.utime(site.root / "f", (1, 1))
    began = time.monotonic()
    done = site.crosshaul("push")
    assert time.monotonic() - began < 20
    assert done.returncode == 0, done
    assert "a source stays f: programs that write to it can't be seen" in done.stderr
    assert "it is kept for 15 min after its delivery" in done.stderr
    assert len(json.loads(site.crosshaul("push", "--json").stdout)["staying"]) == 1
    output = site.crosshaul("explain", str(site.root / "f")).stdout
    assert "is not deleted yet" in output
    assert "give the service CAP_LEASE" in output
    assert "programs that write to it can't be seen" in site.crosshaul("status").stdout
    assert "can't be seen without CAP_LEASE" in " ".join(site.crosshaul("check").stdout.split())
    assert (site.root / "f").exists()


def test_with_a_marker_another_users_file_goes_at_once(site):
    """With a marker, file and marker are deleted at once."""
    site.write(settle={"marker": "{path}.done"})
    add(site, "f", b"1")
    add(site, "f.done", b"")
    site.push()
    assert list(site.root.iterdir()) == []


def test_the_final_pass_ends_and_leaves_the_sources(strict, site):
    """`run --finish` delivers, exits, reports the staying source, and deletes nothing that may be open."""
    with site.daemon("--finish") as daemon:
        add(site, "f", b"1")
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 20
        assert [(each["undelivered"], each["sources_left"]) for each in daemon.events("final_pass")] == [(0, 1)]
    assert list(strict.objects()) == ["f"]
    assert (site.root / "f").exists()
