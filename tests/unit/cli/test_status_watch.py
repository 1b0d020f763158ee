"""`status --watch` and the progress bar of `wait` on a real terminal, which is restored afterwards."""

import json
import re
import signal
import subprocess
import sys

import pytest

from crosshaul.cli.rate_and_eta import Rate
from support.cli_world import World, delivered
from support.system_fixtures import until
from support.terminal import terminal

OWN_SCREEN, BACK = "\x1b[?1049h", "\x1b[?1049l"
NO_CURSOR, CURSOR = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.admit(made.file(b"odd\xff\x1b[31m"), made.file("b"))
    return made


def is_in_order(screen):
    return screen.written.rfind(CURSOR) > screen.written.rfind(NO_CURSOR) and screen.written.count(OWN_SCREEN) == (
        screen.written.count(BACK)
    )


def test_watch_follows_the_journal_and_ctrl_c_ends_it(world):
    """`status --watch` shows changes of the journal without a daemon; Ctrl-C is code 0, and the last picture stays."""
    with terminal("status", "--watch", "-c", str(world.config)) as screen:
        screen.until("2 pending")
        assert OWN_SCREEN in screen.written
        world.admit(outcome=delivered)
        screen.until("2 delivered")
        screen.until(r"Sending [\d.]+ Bytes/s, [\d.]+ files/s")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 0
    assert is_in_order(screen)
    last = screen.written.rpartition(BACK)[2]
    assert "2 delivered" in last
    assert "Traceback" not in last


def test_sigterm_leaves_the_terminal_in_order(world):
    """After SIGTERM the cursor and the normal screen are back; the code is 143."""
    for verb, shows in (("status --watch", "2 pending"), ("wait", "0/2 files")):
        with terminal(*verb.split(), "-c", str(world.config)) as screen:
            screen.until(shows)
            screen.process.send_signal(signal.SIGTERM)
            assert screen.end() == 143
        assert is_in_order(screen), verb


def test_watch_outlives_a_journal_that_is_not_there_or_is_damaged(world):
    """A missing journal is shown as such; an unreadable one as an error until it can be read."""
    database = world.state / "journal.db"
    whole = database.read_bytes()
    database.unlink()
    with terminal("status", "--watch", "-c", str(world.config)) as screen:
        screen.until("Nothing has run yet")
        database.write_bytes(b"no database" * 1000)
        screen.until("journal.db")
        database.write_bytes(whole)
        screen.until("2 pending")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 0


@pytest.mark.parametrize("as_json", [True, False])
def test_watch_in_a_pipe_is_one_snapshot_after_another(world, as_json):
    """Output to a pipe has no escape sequences; with --json each line is an object."""
    command = [sys.executable, "-m", "crosshaul", "status", "--watch", "-c", str(world.config)]
    with subprocess.Popen([*command, *(["--json"] if as_json else [])], stdout=subprocess.PIPE, text=True) as process:
        lines: list[int] = []
        assert process.stdout is not None
        while len(lines) < 2:
            line = process.stdout.readline()
            assert "\x1b" not in line
            if as_json:
                lines.append(json.loads(line)["pending"])
            elif line.startswith("Files: "):
                pending = re.search(r"(\d+) pending", line)
                assert pending
                lines.append(int(pending[1]))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert lines == [2, 2]


def test_wait_shows_a_bar_with_rate_and_time_left(world):
    """On a terminal `wait` shows files, bytes, rate and time left, and removes the bar at the end."""
    with terminal("wait", "-c", str(world.config)) as screen:
        screen.until(r"0/2 files")
        screen.until("crosshaul: no daemon is running")
        world.admit(world.file("c"))  # not waited for
        until(lambda: "-:--" in screen.shown())
        world.admit(outcome=delivered)
        assert screen.end() == 0
    assert re.search(r"\d+/14 bytes", screen.shown())
    assert is_in_order(screen)


def test_wait_counts_what_is_behind_a_stuck_file(world):
    """A stuck file does not hide the progress of the others."""
    world.admit(outcome=delivered)
    stuck = world.file("aaa-stuck")
    behind = [world.file(f"behind-{number}") for number in range(5)]
    world.admit(*behind)
    with terminal("wait", "-c", str(world.config)) as screen:
        screen.until("0/6 files")
        world.admit(outcome=delivered)
        screen.until("5/6 files")
        world.admit(stuck, outcome=delivered)
        assert screen.end() == 0


def test_the_rate_is_a_sentence():
    """The sentence has the rate of the last seconds and the time left; a standstill is stated if files are pending."""
    rate = Rate()
    assert rate.sentence(100.0, 0, 0, 1000) == ""
    assert rate.sentence(101.0, 2, 100, 900) == "Sending 100 Bytes/s, 2.0 files/s; about 9 s left."
    assert rate.sentence(120.0, 2, 100, 900) == ""
    assert rate.sentence(121.0, 2, 100, 900) == "No data was sent for 1 s."
    assert rate.sentence(122.0, 2, 100, 0) == ""
    assert rate.sentence(123.0, 1, 0, 0) == ""  # a file that had been delivered has changed
