"""The settle rule, with given times."""

from typing import Any

import pytest

from crosshaul.discovery.settle import AtRest, Settler, TurnedAway, WaitForMarker, WaitUntil
from crosshaul.discovery.unsettled import UnsettledFiles
from crosshaul.files.file_clock import FileClock
from crosshaul.files.marker import Marker
from crosshaul.model import Fingerprint, SettleReason, Sighting

WALL = 1_700_000_000 * 10**9 + 123_456_789
LOCAL = FileClock(ours=True, multigrain=True, keeps_inodes=True)


def sighting(path: bytes = b"f", size: int = 1, age: float = 0.0, inode: int = 7) -> Sighting:
    stamp = WALL - int(age * 1e9)
    return Sighting("r", path, Fingerprint(size, stamp, stamp, inode))


def settler(
    quiet: float = 2.0,
    max_wait: float = 600.0,
    marker: str | None = None,
    limit: int = 100,
    file_clock: FileClock = LOCAL,
) -> Settler:
    rule = Settler(quiet, max_wait, marker, UnsettledFiles(limit))
    rule.file_clock = file_clock
    return rule


def wall(now: float) -> int:
    """Return the wall clock's time at the monotonic time ``now``."""
    return WALL + int(now * 1e9)


def seconds_of(verdict: object) -> float:
    """Return the time that a verdict says to wait until."""
    assert isinstance(verdict, WaitUntil)
    return verdict.due


def test_an_old_file_is_at_rest_at_first_sight():
    """A file whose times are older than quiet settles at once."""
    assert settler().observe(sighting(age=2.0), 0, WALL) == AtRest(SettleReason.QUIET)


def test_both_times_must_be_old():
    """An old mtime with a fresh ctime (a copy that keeps times) does not settle the file."""
    fresh = Sighting("r", b"f", Fingerprint(1, WALL - 10**12, WALL, 7))
    assert settler().observe(fresh, 0, WALL) == WaitUntil(2.0)


def test_a_fresh_file_is_at_rest_after_quiet_and_its_age_counts():
    """A fresh file waits for the rest of quiet, and is then settled and forgotten."""
    rule = settler()
    assert rule.observe(sighting(age=0.5), 100, WALL) == WaitUntil(101.5)
    assert rule.observe(sighting(age=0.5), 101, wall(1)) == WaitUntil(101.5)
    assert rule.unsettled.due(101.4) == []
    assert rule.unsettled.due(101.5) == [b"f"]
    assert rule.observe(sighting(age=0.5), 101.5, wall(1.5)) == AtRest(SettleReason.QUIET)
    assert len(rule.unsettled) == 0


def test_each_change_starts_the_wait_again():
    """A change of size, times or inode restarts quiet."""
    rule = settler()
    rule.observe(sighting(), 0, WALL)
    assert rule.observe(sighting(size=2, age=-1.0), 1.0, wall(1)) == WaitUntil(3.0)
    assert rule.unsettled.due(2.0) == []
    assert rule.unsettled.due(3.0) == [b"f"]


def test_times_in_the_future_don_t_make_it_wait_for_ever():
    """A file with times in the future settles after quiet without a change."""
    rule = settler()
    future = sighting(age=-86_400)
    assert rule.observe(future, 0, WALL) == WaitUntil(2.0)
    assert rule.observe(future, 2.0, wall(2)) == AtRest(SettleReason.QUIET)


def test_a_wall_clock_that_jumps_does_not_matter_once_seen():
    """Unchanged sightings are timed by the monotonic clock only."""
    rule = settler()
    rule.observe(sighting(), 0, WALL)
    assert rule.observe(sighting(), 1.0, WALL - 10**15) == WaitUntil(2.0)
    assert rule.observe(sighting(), 2.0, WALL - 10**15) == AtRest(SettleReason.QUIET)


def test_quiet_zero_takes_files_as_they_are_seen():
    """With quiet 0 even a file with times in the future settles at once."""
    assert settler(quiet=0).observe(sighting(age=-5), 0, WALL) == AtRest(SettleReason.QUIET)


def test_a_writer_that_never_ends_is_cut_off_at_the_ceiling():
    """After max_wait of changes the file is queued as it is, with that reason."""
    rule = settler(quiet=2, max_wait=10)
    for second in range(10):
        verdict = rule.observe(sighting(size=second, age=-second), second, wall(second))
        assert verdict == WaitUntil(min(second + 2.0, 10.0))
    assert rule.unsettled.due(10) == [b"f"]
    assert rule.observe(sighting(size=99, age=-10), 10, wall(10)) == AtRest(SettleReason.CEILING)
    assert rule.observe(sighting(size=100, age=-11), 11, wall(11)) == WaitUntil(13.0)


def test_a_rename_into_place_is_quiet_at_once():
    """A renamed file settles at once, even if it was waited for."""
    rule = settler()
    rule.observe(sighting(), 0, WALL)
    assert rule.observe(sighting(), 0.1, wall(0.1), finished=True) == AtRest(SettleReason.FINISHED)
    assert len(rule.unsettled) == 0


def test_a_twin_is_the_same_unwritten_file_under_another_name():
    """Inode, size and mtime identify a renamed file, whose ctime may differ; a write ends that."""
    rule = settler()
    rule.observe(sighting(b"tmp"), 0, WALL)
    renamed = Sighting("r", b"final", Fingerprint(1, WALL, WALL + 5, 7))
    assert rule.unsettled.other_path(renamed) == b"tmp"
    assert rule.unsettled.other_path(sighting(b"tmp")) is None
    assert rule.unsettled.other_path(sighting(b"final", size=2)) is None
    assert rule.unsettled.other_path(sighting(b"final", inode=8)) is None


def test_the_marker_alone_decides():
    """With markers neither age nor rename counts; the file waits for its marker without a timer."""
    rule = settler(marker="{path}.done")
    assert rule.observe(sighting(age=1e6), 0, WALL, finished=True) == WaitForMarker(b"f.done")
    assert rule.unsettled.next_due() is None
    assert rule.unsettled.waiting_for(b"f.done") == [b"f"]
    assert rule.observe(sighting(age=1e6), 1, WALL, marked=True) == AtRest(SettleReason.MARKER)
    assert rule.unsettled.waiting_for(b"f.done") == []


def test_many_files_may_wait_for_one_marker():
    """One marker can release all files of a directory."""
    rule = settler(marker="{dir}/_SUCCESS")
    for number, path in enumerate((b"d/a", b"d/b", b"e/a")):
        rule.observe(sighting(path, inode=number), 0, WALL)
    assert rule.unsettled.waiting_for(b"d/_SUCCESS") == [b"d/a", b"d/b"]


@pytest.mark.parametrize(
    ("template", "path", "marker"),
    [
        ("{path}.done", b"d/a.csv", b"d/a.csv.done"),
        ("{dir}/.{name}.ok", b"d/a.csv", b"d/.a.csv.ok"),
        ("{dir}/.{name}.ok", b"a.csv", b".a.csv.ok"),
        ("{dir}/{stem}.ready", b"x/y/a.csv", b"x/y/a.ready"),
        ("{dir}/{stem}.ready", b".hidden", b".hidden.ready"),
        ("{dir}/{stem}{suffix}_", b"a.csv", b"a.csv_"),
        ("ready/{path}", b"d/\xff", b"ready/d/\xff"),
        ("{dir}/_SUCCESS", b"a", b"_SUCCESS"),
        ("_SUCCESS", b"d/a", b"_SUCCESS"),
    ],
)
def test_a_marker_s_name_follows_its_template_and_is_known_as_one(template: str, path: bytes, marker: bytes):
    """The template's fields are filled in, an empty dir leaves no slash, and the result is recognised as a marker."""
    rule = Marker(template)
    assert rule.of(path) == marker
    assert rule.is_marker(marker)
    assert not rule.is_marker(path)


def test_a_name_that_only_ends_like_a_marker_is_none():
    """A fixed marker name must match the whole name."""
    assert not Marker("{dir}/_SUCCESS").is_marker(b"d/not_SUCCESS")


def test_what_is_waited_for_is_bounded():
    """Beyond the limit new files are turned away and counted, and the kept ones stay."""
    rule = settler(limit=2)
    for number in range(3):
        verdict = rule.observe(sighting(b"%d" % number, inode=number), 0, WALL)
    assert verdict == TurnedAway()
    assert (len(rule.unsettled), rule.unsettled.turned_away) == (2, 1)
    assert rule.observe(sighting(b"1", size=5, age=-1, inode=1), 1, wall(1)) == WaitUntil(3.0)


def test_the_timers_of_a_busy_file_don_t_pile_up():
    """A file that is observed a hundred thousand times has few entries in the queue."""
    rule = settler(quiet=50, max_wait=1e9)
    for number in range(20_000):
        rule.observe(sighting(size=number, age=-number / 1e3), number / 1e3, wall(number / 1e3))
    assert rule.unsettled.queue_length == 1
    for number in range(20_000):
        rule.observe(sighting(b"g", size=number, inode=8), 0, WALL)
        rule.unsettled.forget(b"g")
    assert rule.unsettled.queue_length < 2_000
    assert rule.unsettled.due(1e6) == [b"f"]


SERVER = FileClock(keeps_inodes=True)


def test_a_file_server_s_clock_that_is_behind_does_not_shorten_quiet():
    """On a file server stamps that look 5 s old do not shorten our own quiet time."""
    for scanned in (True, False):
        rule = settler(file_clock=SERVER)
        assert rule.observe(sighting(age=5), 0, WALL, scanned=scanned) == WaitUntil(2.0)
        assert rule.observe(sighting(age=5), 2.0, wall(2), scanned=scanned) == AtRest(SettleReason.QUIET)


def test_a_change_seen_on_a_file_server_starts_quiet_whatever_its_stamps_say():
    """A change between two checks restarts quiet, although the stamps look days old."""
    rule = settler(file_clock=SERVER)
    rule.observe(sighting(age=5), 0, WALL, scanned=True)
    assert rule.observe(sighting(size=2, age=1e6), 1.5, wall(1.5), scanned=True) == WaitUntil(3.5)
    assert rule.observe(sighting(size=3, age=1e6), 3.5, wall(3.5)) == WaitUntil(5.5)


def test_a_backlog_on_a_file_server_is_taken_at_once():
    """At the start a file of days ago settles at once; one with a hint waits."""
    rule = settler(file_clock=SERVER)
    assert rule.observe(sighting(age=2 * 86_400), 0, WALL, scanned=True) == AtRest(SettleReason.QUIET)
    assert rule.observe(sighting(age=2 * 86_400), 0, WALL) == WaitUntil(2.0)


def test_our_own_clock_set_forward_does_not_age_a_file():
    """After a clock step of an hour a file that was written before waits for the rest of quiet."""
    rule = settler()
    rule.observe(sighting(b"other"), 0, WALL)
    hour = 3600 * 10**9
    assert rule.observe(sighting(age=0.5), 1, wall(1) + hour) == WaitUntil(1 + 2.0 - 1.5)
    after = Sighting("r", b"new", Fingerprint(1, wall(1) + hour, wall(1) + hour, 8))
    assert rule.observe(after, 1.5, wall(1.5) + hour) == WaitUntil(3.0)


def test_a_state_is_taken_only_when_its_tick_is_over():
    """A renamed file waits for the kernel's tick, unless each change has its own stamp."""
    ticking = settler(file_clock=FileClock(ours=True, keeps_inodes=True))
    assert seconds_of(ticking.observe(sighting(age=0.004), 0, WALL, finished=True)) == pytest.approx(0.006)
    assert ticking.unsettled.due(0.007) == [b"f"]
    assert ticking.observe(sighting(age=0.004), 0.007, wall(0.007)) == AtRest(SettleReason.FINISHED)
    assert settler().observe(sighting(), 0, WALL, finished=True) == AtRest(SettleReason.FINISHED)


@pytest.mark.parametrize("file_clock", [LOCAL, FileClock(ours=True, keeps_inodes=True), SERVER])
@pytest.mark.parametrize("settle", [{"quiet": 0.0}, {"finished": True}, {"marker": "{path}.done", "marked": True}])
def test_whole_seconds_are_waited_out(file_clock: FileClock, settle: dict[str, Any]):
    """With stamps of whole seconds a file settles two seconds after its stamp at the earliest."""
    how = {key: settle[key] for key in ("finished", "marked") if key in settle}
    rule = settler(**{key: settle[key] for key in ("quiet", "marker") if key in settle}, file_clock=file_clock)
    fresh = Sighting("r", b"f", Fingerprint(1, 1_700_000_000 * 10**9, 1_700_000_000 * 10**9, 7))
    verdict = rule.observe(fresh, 0, WALL, **how)
    left = 2.0 if not file_clock.ours else 2.0 - 0.123456789
    assert seconds_of(verdict) == pytest.approx(left)
    assert rule.unsettled.due(left + 0.01) == [b"f"]
    assert isinstance(rule.observe(fresh, left + 0.01, wall(left + 0.01)), AtRest)


def test_whole_seconds_don_t_shorten_quiet():
    """A stamp that is truncated by up to two seconds does not shorten quiet."""
    rule = settler(quiet=5)
    stamp = 1_700_000_000 * 10**9
    assert rule.observe(Sighting("r", b"f", Fingerprint(1, stamp, stamp, 7)), 0, stamp + 3 * 10**9) == WaitUntil(4.0)


def test_what_never_stands_still_is_taken_one_tick_after_the_ceiling():
    """A file that has a new tick at each check waits for one tick only."""
    rule = settler(quiet=2, max_wait=10, file_clock=FileClock(ours=True, keeps_inodes=True))
    rule.observe(sighting(), 0, WALL)
    assert seconds_of(rule.observe(sighting(size=2, age=-10), 10, wall(10))) == pytest.approx(10.01)
    assert rule.observe(sighting(size=3, age=-10.01), 10.01, wall(10.01)) == AtRest(SettleReason.CEILING)


def test_a_renamed_file_stays_finished_while_its_tick_lasts():
    """A change of mode during the tick leaves a renamed file finished; other content does not."""
    rule = settler(file_clock=FileClock(ours=True, keeps_inodes=True))
    rule.observe(sighting(), 0, WALL, finished=True)
    touched = Sighting("r", b"f", Fingerprint(1, WALL, wall(0.005), 7))
    assert seconds_of(rule.observe(touched, 0.006, wall(0.006))) == pytest.approx(0.015)
    assert rule.observe(touched, 0.02, wall(0.02)) == AtRest(SettleReason.FINISHED)
    rule.observe(sighting(), 1, WALL, finished=True)
    assert rule.observe(sighting(size=2, age=-1), 1, wall(1)) == WaitUntil(3.0)


def test_the_paths_that_are_waited_for_are_bounded_in_bytes():
    """Beyond the limit of path bytes files are turned away, until half of it is free."""
    rule = Settler(2.0, 600.0, None, UnsettledFiles(1_000, 10_000))
    for number in range(6):
        rule.observe(sighting(b"%d" % number + b"x" * 2_500, inode=number), 0, WALL)
    assert (len(rule.unsettled), rule.unsettled.turned_away, rule.unsettled.has_room) == (4, 2, False)
    for number in range(3):
        rule.unsettled.forget(b"%d" % number + b"x" * 2_500)
    assert rule.unsettled.has_room


def test_an_inode_that_is_made_up_at_each_look_is_no_change():
    """With unstable inodes a file with another inode at each check settles; elsewhere it is another file."""
    for file_clock, verdict in ((FileClock(), AtRest(SettleReason.QUIET)), (SERVER, WaitUntil(4.0))):
        rule = settler(file_clock=file_clock)
        rule.observe(sighting(inode=1), 0, WALL)
        assert rule.observe(sighting(inode=2), 2, wall(2)) == verdict
