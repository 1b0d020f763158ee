"""Names and validity of marker files."""

import time

import pytest

from crosshaul.files.marker import Marker, marked
from crosshaul.model import Fingerprint, Recorded, SettleReason, Sighting

MARK = Fingerprint(0, mtime_ns=100, ctime_ns=100, inode=2)


def file(mtime: int, ctime: int, size: int = 5, inode: int = 1) -> Fingerprint:
    return Fingerprint(size, mtime, ctime, inode)


def counts(state: Fingerprint, mark: Fingerprint | None = MARK, record: Recorded | None = None) -> bool:
    found = marked([Sighting("r", b"f", state)], {b"f": mark} if mark else {}, {b"f": record} if record else {})
    return b"f" in found


def test_a_marker_that_is_not_older_than_the_file_counts():
    """A marker that was written after the file, or in the same tick of the file system, counts."""
    assert counts(file(90, 95))
    assert counts(file(100, 100))
    assert not counts(file(90, 95), mark=None)


@pytest.mark.parametrize("record", [None, Recorded(file(80, 85, size=9), SettleReason.MARKER)])
def test_a_marker_that_is_older_than_the_content_does_not_count(record: Recorded | None):
    """The marker of the first file of a name does not count for the second one."""
    assert not counts(file(110, 110, inode=3), record=record)


def test_old_times_brought_along_don_t_make_a_used_marker_count():
    """A copied mtime (cp -p) from before the marker does not make a used marker count."""
    used = Recorded(file(90, 95), SettleReason.MARKER)
    assert not counts(file(10, 110, size=9, inode=3), record=used)


def test_a_change_of_mode_or_owner_after_the_marker_leaves_it_standing():
    """After chmod, chown or links, which change only the ctime, the marker still counts for the same content."""
    assert counts(file(90, 200))
    assert counts(file(90, 200), record=Recorded(file(90, 95), SettleReason.QUIET))


def test_a_marker_taken_away_after_it_counted_need_not_come_again():
    """Content that was queued by its marker stays finished when marker or mode change."""
    assert counts(file(90, 200), mark=None, record=Recorded(file(90, 95), SettleReason.MARKER))
    assert not counts(file(110, 200), mark=None, record=Recorded(file(90, 95), SettleReason.MARKER))


def test_a_new_marker_counts_for_the_next_content_even_after_a_chown_of_everything():
    """After chown -R a marker that is newer than the next content counts."""
    sent = Recorded(file(40, 50, size=9), SettleReason.MARKER)
    assert counts(file(90, 200), record=sent)
    assert not counts(file(110, 200), record=sent)


def test_no_name_makes_a_template_with_many_fields_slow():
    """A name of 250 dashes is matched with four fields in milliseconds."""
    marker = Marker("{stem}-{name}-{stem}-{name}-{stem}.done")
    began = time.thread_time()
    assert marker.is_marker(b"-" * 250 + b".done")
    assert not marker.is_marker(b"-" * 250 + b"/.done")
    assert time.thread_time() - began < 1.0


@pytest.mark.parametrize("path", [b"d/_SUCCESS", b"_SUCCESS", b"d/e/_SUCCESS"])
def test_a_marker_of_a_directory_is_known_at_any_depth(path: bytes):
    """An empty {dir} removes its slash."""
    assert Marker("{dir}/_SUCCESS").is_marker(path)
