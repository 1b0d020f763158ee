"""The settle rule, with times made up."""

import pytest

from crosshaul.model import Fingerprint, Reason, Sighting
from crosshaul.settle import AtRest, Marker, Settler, TurnedAway, WaitForMarker, WaitUntil

WALL = 1_700_000_000 * 10**9


def sighting(path: bytes = b"f", size: int = 1, age: float = 0.0, inode: int = 7) -> Sighting:
    stamp = WALL - int(age * 1e9)
    return Sighting("r", path, Fingerprint(size, stamp, stamp, inode))


def settler(quiet: float = 2.0, max_wait: float = 600.0, marker: str | None = None, limit: int = 100) -> Settler:
    return Settler(quiet, max_wait, marker, limit)


def wall(now: float) -> int:
    """The wall clock when the monotonic one says ``now``."""
    return WALL + int(now * 1e9)


def test_an_old_file_is_at_rest_at_first_sight():
    """One whose times are older than quiet is taken at once."""
    assert settler().observe(sighting(age=2.0), 0, WALL) == AtRest(Reason.QUIET)


def test_both_times_must_be_old():
    """An old mtime with a fresh ctime (a copy that keeps times) does not vouch for the file."""
    fresh = Sighting("r", b"f", Fingerprint(1, WALL - 10**12, WALL, 7))
    assert settler().observe(fresh, 0, WALL) == WaitUntil(2.0)


def test_a_fresh_file_is_at_rest_after_quiet_and_its_age_counts():
    """The wait is what is left of quiet, and then the file is taken and forgotten."""
    rule = settler()
    assert rule.observe(sighting(age=0.5), 100, WALL) == WaitUntil(101.5)
    assert rule.observe(sighting(age=0.5), 101, wall(1)) == WaitUntil(101.5)
    assert rule.due(101.4) == []
    assert rule.due(101.5) == [b"f"]
    assert rule.observe(sighting(age=0.5), 101.5, wall(1.5)) == AtRest(Reason.QUIET)
    assert len(rule) == 0


def test_each_change_starts_the_wait_anew():
    """A change of size, times or inode restarts quiet."""
    rule = settler()
    rule.observe(sighting(), 0, WALL)
    assert rule.observe(sighting(size=2, age=-1.0), 1.0, wall(1)) == WaitUntil(3.0)
    assert rule.due(2.0) == []
    assert rule.due(3.0) == [b"f"]


def test_times_in_the_future_don_t_make_it_wait_for_ever():
    """A file from the future is at rest after quiet of being seen unchanged, whatever its times say."""
    rule = settler()
    future = sighting(age=-86_400)
    assert rule.observe(future, 0, WALL) == WaitUntil(2.0)
    assert rule.observe(future, 2.0, wall(2)) == AtRest(Reason.QUIET)


def test_a_wall_clock_that_jumps_does_not_matter_once_seen():
    """Unchanged sightings are timed by the monotonic clock alone."""
    rule = settler()
    rule.observe(sighting(), 0, WALL)
    assert rule.observe(sighting(), 1.0, WALL - 10**15) == WaitUntil(2.0)
    assert rule.observe(sighting(), 2.0, WALL - 10**15) == AtRest(Reason.QUIET)


def test_quiet_zero_takes_files_as_they_are_seen():
    """With quiet 0 even a file from the future is at rest."""
    assert settler(quiet=0).observe(sighting(age=-5), 0, WALL) == AtRest(Reason.QUIET)


def test_a_writer_that_never_ends_is_cut_off_at_the_ceiling():
    """After max_wait of changes the file is taken as it stands, and the reason says so."""
    rule = settler(quiet=2, max_wait=10)
    for second in range(10):
        verdict = rule.observe(sighting(size=second, age=-second), second, wall(second))
        assert verdict == WaitUntil(min(second + 2.0, 10.0))
    assert rule.due(10) == [b"f"]
    assert rule.observe(sighting(size=99, age=-10), 10, wall(10)) == AtRest(Reason.CEILING)
    assert rule.observe(sighting(size=100, age=-11), 11, wall(11)) == WaitUntil(13.0)


def test_a_rename_into_place_is_quiet_at_once():
    """A renamed file is taken, even if it was waited for."""
    rule = settler()
    rule.observe(sighting(), 0, WALL)
    assert rule.observe(sighting(), 0.1, wall(0.1), finished=True) == AtRest(Reason.FINISHED)
    assert len(rule) == 0


def test_a_twin_is_the_same_unwritten_file_under_another_name():
    """Inode, size and mtime tell a rename; a rename's new ctime doesn't hide it, a write does."""
    rule = settler()
    rule.observe(sighting(b"tmp"), 0, WALL)
    renamed = Sighting("r", b"final", Fingerprint(1, WALL, WALL + 5, 7))
    assert rule.twin(renamed) == b"tmp"
    assert rule.twin(sighting(b"tmp")) is None
    assert rule.twin(sighting(b"final", size=2)) is None
    assert rule.twin(sighting(b"final", inode=8)) is None


def test_the_marker_alone_decides():
    """With a marker, neither age nor rename counts; the file waits for its marker, without a timer."""
    rule = settler(marker="{path}.done")
    assert rule.observe(sighting(age=1e6), 0, WALL, finished=True) == WaitForMarker(b"f.done")
    assert rule.next_due() is None
    assert rule.waiting_for(b"f.done") == [b"f"]
    assert rule.observe(sighting(age=1e6), 1, WALL, marked=True) == AtRest(Reason.MARKER)
    assert rule.waiting_for(b"f.done") == []


def test_many_files_may_wait_for_one_marker():
    """A marker for a directory releases all that wait for it."""
    rule = settler(marker="{dir}/_SUCCESS")
    for number, path in enumerate((b"d/a", b"d/b", b"e/a")):
        rule.observe(sighting(path, inode=number), 0, WALL)
    assert rule.waiting_for(b"d/_SUCCESS") == [b"d/a", b"d/b"]


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
    """The fields fill in, an empty dir leaves no slash, and the result is recognised; the file itself is not."""
    rule = Marker(template)
    assert rule.of(path) == marker
    assert rule.is_marker(marker)
    assert not rule.is_marker(path)


def test_a_name_that_only_ends_like_a_marker_is_none():
    """A fixed marker name must be the whole name."""
    assert not Marker("{dir}/_SUCCESS").is_marker(b"d/not_SUCCESS")


def test_what_is_waited_for_is_bounded():
    """Beyond the limit new files are turned away and counted, and those waited for stay."""
    rule = settler(limit=2)
    for number in range(3):
        verdict = rule.observe(sighting(b"%d" % number, inode=number), 0, WALL)
    assert verdict == TurnedAway()
    assert (len(rule), rule.turned_away) == (2, 1)
    assert rule.observe(sighting(b"1", size=5, age=-1, inode=1), 1, wall(1)) == WaitUntil(3.0)


def test_the_timers_of_a_busy_file_don_t_pile_up():
    """A file observed a hundred thousand times, and taken and seen anew, keeps few entries in the queue."""
    rule = settler(quiet=50, max_wait=1e9)
    for number in range(20_000):
        rule.observe(sighting(size=number, age=-number / 1e3), number / 1e3, wall(number / 1e3))
    assert len(rule._queue) == 1
    for number in range(20_000):
        rule.observe(sighting(b"g", size=number, inode=8), 0, WALL)
        rule.forget(b"g")
    assert len(rule._queue) < 2_000
    assert rule.due(1e6) == [b"f"]
