"""state_dir as people create it: beforehand, open to all, or as another user."""

from __future__ import annotations

import os
import stat

import pytest

from support.system_fixtures import until

SERVICE = 65532
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make what is another's")


def test_the_order_of_the_readme_works_whatever_was_made_before(strict, site_for):
    """After `mkdir state`, check and push work, and the directory is accessible to its owner only."""
    site = site_for(strict)
    site.state_dir.mkdir()
    site.state_dir.chmod(0o755)
    site.add("file", b"1")
    done = site.crosshaul("check")
    assert done.returncode == 0, done
    site.push()
    assert stat.S_IMODE(site.state_dir.stat().st_mode) == 0o700


@root_only
def test_root_leaves_nothing_in_the_services_directory(strict, site_for):
    """A push or run by root on the service's directory is refused before it creates anything; check names the owner."""
    site = site_for(strict)
    site.state_dir.mkdir()
    site.state_dir.chmod(0o755)
    os.chown(site.state_dir, SERVICE, SERVICE)
    for verb in ("push", "run"):
        done = site.crosshaul(verb)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
        assert f"belongs to another user (uid {SERVICE}; this is uid 0): run Crosshaul as that user" in done.stderr
    done = site.crosshaul("check")
    assert f"belongs to another user (uid {SERVICE}" in " ".join(done.stdout.split())
    assert done.returncode == 0, done
    assert list(site.state_dir.iterdir()) == []
    assert stat.S_IMODE(site.state_dir.stat().st_mode) == 0o755


def test_status_live_asks_the_daemon_itself(strict, site_for):
    """`status --live` gives 0 while a daemon runs, whatever the partner's state; else 1 and a line."""
    site = site_for(strict)
    assert site.crosshaul("status", "--live").returncode == 1
    strict.settings(role_exists=False)
    with site.daemon() as daemon:
        until(lambda: site.crosshaul("status", "--live").returncode == 0)
        assert daemon.stop() == 0
    done = site.crosshaul("status", "--live")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
    assert "No daemon answers" in done.stderr
