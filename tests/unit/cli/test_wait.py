"""`crosshaul wait` waits for present and queued files, not for later ones, and says what is left."""

import threading
import time

import pytest

from crosshaul.cli import wait
from support.cli_world import World, delivered, quarantined


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(wait, "_POLL_SECONDS", 0.02)
    return World(tmp_path)


def later(work):
    thread = threading.Timer(0.25, work)
    thread.start()
    return thread


def test_nothing_to_wait_for_is_done_at_once(world, capsys):
    """Without files to wait for it exits with 0 and prints nothing."""
    assert world.run("wait") == 0
    world.admit(world.file("a"), outcome=delivered)
    assert world.run("wait") == 0
    assert capsys.readouterr().err == ""


def test_a_pending_file_is_waited_for(world):
    """It waits until the journal has a pending file as delivered."""
    settled = world.file("a")
    world.admit(settled)
    began = time.monotonic()
    thread = later(lambda: world.admit(outcome=delivered))
    assert world.run("wait", "--timeout", "60s") == 0
    thread.join()
    assert time.monotonic() - began > 0.2


def test_a_file_the_daemon_has_not_seen_yet_is_waited_for(world):
    """It waits for a file that is not in the journal yet."""
    settled = world.file("just-copied")
    thread = later(lambda: world.admit(settled, outcome=delivered))
    assert world.run("wait", "--timeout", "60s") == 0
    thread.join()


def test_the_time_is_up_with_a_line(world, capsys):
    """At the time-out it exits with 1 and prints the number of files left, an example, and that no daemon runs."""
    world.admit(world.file("a"), world.file("b"))
    assert world.run("wait", "--timeout", "100ms") == 1
    output = capsys.readouterr().err
    assert "crosshaul: no daemon is running" in output
    assert f"after 0.1 s 2 files are not delivered, such as {world.root}/a" in output


def test_quarantined_files_are_no_success(world, capsys):
    """It does not wait for quarantined files, but exits with 1 and names `crosshaul list`."""
    world.admit(world.file("a"), outcome=quarantined)
    assert world.run("wait", "--timeout", "60s") == 1
    assert "1 file is quarantined; see `crosshaul list --state quarantined`." in capsys.readouterr().err


def test_later_files_are_not_waited_for(world):
    """It does not wait for a file that appears after its start."""
    world.admit(world.file("a"))

    def deliver_a_and_add_b():
        world.admit(outcome=delivered)
        world.admit(world.file("b"))

    thread = later(deliver_a_and_add_b)
    assert world.run("wait", "--timeout", "60s") == 0
    thread.join()


def test_a_file_that_changes_is_done_with_its_next_delivery(world):
    """A file that changes meanwhile is done when its later state is delivered."""
    world.admit(world.file("a"), outcome=delivered)
    changed = world.file("a", b"longer than before")

    def write_on():
        world.file("a", b"and longer than that", age=30.0)
        world.admit(changed, outcome=delivered)

    thread = later(write_on)
    assert world.run("wait", "--timeout", "60s") == 0
    thread.join()


def test_an_old_delivery_does_not_count_for_a_changed_file(world):
    """A delivery of an earlier state does not count."""
    world.admit(world.file("a"), outcome=delivered)
    world.file("a", b"longer than before")
    assert world.run("wait", "--timeout", "100ms") == 1


def test_a_file_that_disappears_is_not_missed(world):
    """A file that is deleted before it was queued is done."""
    world.file("a")
    thread = later((world.root / "a").unlink)
    assert world.run("wait", "--timeout", "60s") == 0
    thread.join()


def test_excluded_and_unmarked_files_are_not_waited_for(world):
    """It does not wait for files that the patterns exclude or that have no marker."""
    world.file("a.tmp")
    assert world.run("wait", "--timeout", "100ms") == 0
    world.config.write_text(world.config.read_text().replace("{quiet: 2s}", '{marker: "{path}.done"}'))
    world.file("b")
    assert world.run("wait", "--timeout", "100ms") == 0
    world.file("b.done")
    assert world.run("wait", "--timeout", "100ms") == 1


def test_a_missing_directory_is_reported_and_the_journal_counts(world, capsys):
    """A missing directory is a line on stderr; its queued files are still waited for."""
    world.admit(world.file("a"))
    world.root.rename(world.root.with_name("elsewhere"))
    assert world.run("wait", "--timeout", "100ms") == 1
    assert str(world.root) in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["soon", "5 parsecs", "-1"])
def test_a_wrong_timeout_is_a_usage_error(world, capsys, wrong):
    """An invalid --timeout is a usage error with the valid forms."""
    assert world.run("wait", f"--timeout={wrong}") == 2
    assert "10m" in capsys.readouterr().err
