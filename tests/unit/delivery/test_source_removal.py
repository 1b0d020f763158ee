"""Deletion and move of delivered files on a real file system, with other programs at the same files."""

import errno
import mmap
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crosshaul.delivery.after_upload import source_removal
from crosshaul.delivery.after_upload.source_verification import ExpectedSource, Interrupted, RemovalGuard
from crosshaul.delivery.after_upload.writer_visibility import Leases
from crosshaul.errors import ContentChangedError, FileChangedError, FileGoneError, FileInUseError, SourceError
from crosshaul.files import open_writers, rename
from crosshaul.files.move_target import MoveTarget
from crosshaul.files.own_paths import REMOVAL_PREFIX
from crosshaul.files.root import Root
from crosshaul.integrity.checksum import compute
from crosshaul.model import ChecksumKind, Fingerprint

LOCAL = Leases(granted_tells=True, refused_tells=True)
ALONE = RemovalGuard(lambda _: False, lambda: False, LOCAL)
STAMP = "20261127T192749.000000Z"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/b/f").write_bytes(b"0123456789")
    return tmp_path / "root"


@pytest.fixture
def root(top: Path):
    with Root.open(top) as opened:
        yield opened


def delivered(root: Root, path: bytes = b"a/b/f", kind: ChecksumKind | None = ChecksumKind.CRC64NVME) -> ExpectedSource:
    """Return the file as it is now, as if it had been delivered."""
    here = root.path / os.fsdecode(path)
    proof = compute(kind, here.read_bytes()) if kind else None
    return ExpectedSource(path, Fingerprint.of(here.stat()), proof, STAMP)


def target(path: Path, *roots: Path) -> MoveTarget:
    return MoveTarget(path, roots)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@contextmanager
def just_before(monkeypatch: pytest.MonkeyPatch, call: str, deed):
    """Run ``deed`` at the moment before the file is renamed."""
    original = getattr(source_removal, call)

    def raced(*arguments: object) -> object:
        monkeypatch.setattr(source_removal, call, original)
        deed()
        return original(*arguments)

    monkeypatch.setattr(source_removal, call, raced)
    yield
    monkeypatch.setattr(source_removal, call, original)


@pytest.fixture(params=["renameat2", "link and unlink", "no hard links"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Yield the ways in which file systems rename without replacing."""
    if request.param != "renameat2":
        monkeypatch.setattr(rename, "_renameat2", lambda: lambda *_: errno.EINVAL)
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no")))
    return request.param


# Which file


@pytest.mark.parametrize("kind", [*ChecksumKind, None])
def test_delete_takes_only_the_very_file(root: Root, top: Path, file_system: str, kind: ChecksumKind | None):
    """A file that was touched since is kept; an unchanged one is deleted without a trace; a missing one is gone."""
    before = delivered(root, kind=kind)
    os.utime(top / "a/b/f", (1, 1))
    with pytest.raises(FileChangedError):
        source_removal.delete(root, before, ALONE)
    assert names(top / "a/b") == ["f"]
    source_removal.delete(root, delivered(root, kind=kind), ALONE)
    assert names(top / "a/b") == []
    with pytest.raises(FileGoneError):
        source_removal.delete(root, before, ALONE)


@pytest.mark.parametrize("kind", ChecksumKind)
def test_another_ctime_alone_keeps_no_file_whose_bytes_prove_it(root: Root, top: Path, kind: ChecksumKind):
    """Files with three names or after chmod are deleted although their ctime differs."""
    for name in ("g", "h"):
        (top / "a/b" / name).hardlink_to(top / "a/b/f")
    links = [delivered(root, b"a/b/" + name, kind) for name in (b"f", b"g", b"h")]
    (top / "a/b/f").chmod(0o600)
    for link in links:
        source_removal.delete(root, link, ALONE)
    assert names(top / "a/b") == []


@pytest.mark.parametrize("kind", [*ChecksumKind, None])
def test_other_bytes_behind_the_old_mtime_stay(root: Root, top: Path, kind: ChecksumKind | None):
    """A file with a restored mtime and another ctime is kept for the next scan."""
    before, file = delivered(root, kind=kind), top / "a/b/f"
    file.write_bytes(b"012345678X")
    os.utime(file, ns=(before.fingerprint.mtime_ns, before.fingerprint.mtime_ns))
    with pytest.raises(FileChangedError) as output:
        source_removal.delete(root, before, ALONE)
    assert not isinstance(output.value, ContentChangedError)
    assert file.read_bytes() == b"012345678X"


def test_move_keeps_the_relative_path_and_overwrites_nothing(root: Root, top: Path, tmp_path: Path, file_system: str):
    """A moved file keeps its relative path, and gets the delivery time appended if its name is taken."""
    done = tmp_path / "done"
    source_removal.move(root, delivered(root), target(done), ALONE)
    (top / "a/b/f").write_text("second")
    source_removal.move(root, delivered(root), target(done), ALONE)
    assert {path.name: path.read_bytes() for path in (done / "a/b").iterdir()} == {
        "f": b"0123456789",
        f"f.{STAMP}": b"second",
    }
    (top / "a/b/f").write_text("third")
    with pytest.raises(SourceError, match="remove one of them"):
        source_removal.move(root, delivered(root), target(done), ALONE)
    assert (top / "a/b/f").read_text() == "third"


def test_a_name_as_long_as_names_may_be_is_moved_to_a_taken_name(root: Root, top: Path, tmp_path: Path):
    """For a name of 255 bytes the time replaces the end of the name."""
    done, name = tmp_path / "done", "n" * 255
    for _ in "ab":
        (top / name).write_text("x")
        source_removal.move(root, delivered(root, name.encode()), target(done), ALONE)
    assert sorted(map(len, names(done))) == [255, 255]


def test_a_symlink_never_leads_to_the_file_of_another(root: Root, top: Path, tmp_path: Path):
    """With a symlink in place of a directory on the path, nothing behind it is deleted or moved."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "f").write_text("secret")
    (top / "a/b").rename(top / "a/was")
    (top / "a/b").symlink_to(secret)
    expected = ExpectedSource(b"a/b/f", Fingerprint.of((secret / "f").stat()), None, STAMP)
    with pytest.raises(FileChangedError):
        source_removal.delete(root, expected, ALONE)
    with pytest.raises(FileChangedError):
        source_removal.move(root, expected, target(tmp_path / "done"), ALONE)
    assert names(secret) == ["f"]


def test_move_leaves_a_changed_file_alone(root: Root, top: Path, tmp_path: Path):
    """A file that changed since it was delivered is not moved."""
    before = delivered(root)
    (top / "a/b/f").write_text("newer")
    with pytest.raises(FileChangedError, match="is kept"):
        source_removal.move(root, before, target(tmp_path / "done"), ALONE)
    assert (top / "a/b/f").read_text() == "newer"


def test_a_file_renamed_over_it_in_the_last_moment_survives_under_its_name(
    root: Root, top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A file that takes the name between the last check and the rename is put back."""

    def replace() -> None:
        (top / "new").write_text("newer")
        (top / "new").rename(top / "a/b/f")

    with just_before(monkeypatch, "rename_at_once", replace), pytest.raises(FileChangedError):
        source_removal.delete(root, delivered(root), ALONE)
    assert (names(top / "a/b"), (top / "a/b/f").read_text()) == (["f"], "newer")
    with just_before(monkeypatch, "rename_noreplace", replace), pytest.raises(FileChangedError):
        source_removal.move(root, delivered(root), target(tmp_path / "done"), ALONE)
    assert (names(top / "a/b"), names(tmp_path / "done/a/b")) == (["f"], [])


def test_what_can_not_be_put_back_is_kept_beside(root: Root, top: Path, monkeypatch: pytest.MonkeyPatch):
    """If the name is taken again meanwhile, both files stay where a scan finds them."""
    original = rename.rename_at_once

    def raced(*arguments: Any) -> bool:
        (top / "new").write_text("newer")
        (top / "new").rename(top / "a/b/f")
        original(*arguments)
        (top / "a/b/f").write_text("newest")
        return True

    monkeypatch.setattr(source_removal, "rename_at_once", raced)
    with pytest.raises(FileChangedError):
        source_removal.delete(root, delivered(root), ALONE)
    assert {path.name: path.read_text() for path in (top / "a/b").iterdir()} == {
        "f": "newest",
        f"f.{STAMP}": "newer",
    }


# Which bytes


@pytest.mark.parametrize("kind", ChecksumKind)
@pytest.mark.parametrize("size", [10, 3 << 20])
def test_other_bytes_under_the_same_times_are_found_out(root: Root, top: Path, kind: ChecksumKind, size: int):
    """A file that was changed through a mapping, with the same times, is kept because its bytes differ."""
    path = top / "a/b/f"
    path.write_bytes(bytes(size))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as mapping:
        mapping[0] = 1
        mapping.flush()
        expected = delivered(root, kind=kind)
        mapping[size - 1] = 7  # the page is dirty or not: the kernel may move the times
        mapping.flush()
    if Fingerprint.of(path.stat()) != expected.fingerprint:
        expected = ExpectedSource(expected.path, Fingerprint.of(path.stat()), expected.checksum, STAMP)
    with pytest.raises(ContentChangedError, match="sent again"):
        source_removal.delete(root, expected, ALONE)
    assert path.read_bytes()[-1] == 7


def test_reading_again_is_left_off_when_the_daemon_ends(root: Root, top: Path):
    """The comparison of a large file does not delay a stop, and the file stays."""
    with pytest.raises(Interrupted):
        source_removal.delete(root, delivered(root), RemovalGuard(lambda _: False, lambda: True, LOCAL))
    assert names(top / "a/b") == ["f"]


# Who else


@pytest.mark.parametrize("way", ["open", "appending", "mapped and closed"])
def test_a_file_that_somebody_has_open_for_writing_stays(root: Root, top: Path, tmp_path: Path, way: str):
    """Open to write, or mapped writable by who has closed it: it is neither deleted nor moved, and goes once that ends.

    Reading it hinders nothing.
    """
    path = top / "a/b/f"
    file = path.open("ab" if way == "appending" else "r+b")
    mapping = None
    if way == "mapped and closed":
        mapping = mmap.mmap(file.fileno(), 10)
        file.close()
    for act in (
        lambda: source_removal.delete(root, delivered(root), ALONE),
        lambda: source_removal.move(root, delivered(root), target(tmp_path / "done"), ALONE),
    ):
        with pytest.raises(FileInUseError, match="open for writing"):
            act()
    if mapping is not None:
        mapping.close()
    file.close()
    with path.open("rb"):
        source_removal.delete(root, delivered(root), ALONE)
    assert not path.exists()


def test_who_opens_it_in_the_last_moment_has_it_back(root: Root, top: Path, monkeypatch: pytest.MonkeyPatch):
    """A program that opens the file for writing just before the rename waits for the lease, and then writes to it."""
    script = "import sys; f = open(sys.argv[1], 'ab'); f.write(b'more'); f.close()"
    writers = []

    def open_it() -> None:
        writers.append(subprocess.Popen([sys.executable, "-c", script, str(top / "a/b/f")]))
        held = os.open(top / "a/b/f", os.O_RDONLY)
        while not Path(f"/proc/{writers[0].pid}/wchan").read_text().startswith("__break_lease"):
            assert writers[0].poll() is None, "it did not wait"
        os.close(held)

    with just_before(monkeypatch, "rename_at_once", open_it), pytest.raises(FileChangedError):
        source_removal.delete(root, delivered(root), ALONE)
    assert writers[0].wait(10) == 0
    assert (names(top / "a/b"), (top / "a/b/f").read_bytes()) == (["f"], b"0123456789more")


def test_without_leases_the_open_files_of_all_processes_are_looked_at(
    root: Root, top: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without leases, another process that has the file open for writing is found in /proc."""
    monkeypatch.setattr(open_writers.ReadLease, "take", lambda _: None)
    script = "import sys; f = open(sys.argv[1], sys.argv[2]); print(flush=True); sys.stdin.read()"
    seeing = RemovalGuard(
        lambda fd: (os.fstat(fd).st_dev, os.fstat(fd).st_ino) in open_writers.open_for_writing(),
        lambda: False,
        LOCAL,
        unseen_may_go=True,
    )
    for mode in ("ab", "rb"):
        command = [sys.executable, "-c", script, str(top / "a/b/f"), mode]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            if mode == "ab":
                with pytest.raises(FileInUseError):
                    source_removal.delete(root, delivered(root), seeing)
            else:
                source_removal.delete(root, delivered(root), seeing)
            writer.communicate()
    assert names(top / "a/b") == []


def test_a_broken_lease_kills_nobody(top: Path):
    """The kernel's signal about a broken lease ends no process."""
    script = (
        "import os, subprocess, sys, time\nfrom crosshaul.files.open_writers import ReadLease\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\nlease = ReadLease.take(fd)\n"
        "w = subprocess.Popen([sys.executable, '-c', 'open(%r, \"ab\")' % sys.argv[1]])\n"
        "while not lease.broken: time.sleep(0.01)\nlease.release()\nsys.exit(w.wait())"
    )
    assert subprocess.run([sys.executable, "-c", script, str(top / "a/b/f")], timeout=30, check=False).returncode == 0


# After a crash


class Killed(BaseException):
    """Replaces kill -9."""


def crash_before(monkeypatch: pytest.MonkeyPatch, owner: object, call: str, deed) -> None:
    original = getattr(owner, call)
    with monkeypatch.context() as patched:
        patched.setattr(owner, call, lambda *_, **__: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            deed()
    assert getattr(owner, call) is original


def test_a_deletion_cut_short_is_finished(root: Root, top: Path, monkeypatch: pytest.MonkeyPatch, file_system: str):
    """After a kill between rename and deletion the next attempt deletes the file and reports it as done."""
    expected = delivered(root)
    crash_before(monkeypatch, source_removal, "_unlink", lambda: source_removal.delete(root, expected, ALONE))
    assert names(top / "a/b") == [os.fsdecode(REMOVAL_PREFIX) + f"{expected.fingerprint.inode:x}"]
    source_removal.delete(root, expected, ALONE)
    assert names(top / "a/b") == []


def test_what_a_crash_left_set_aside_is_put_back_if_it_is_another_file(
    root: Root, top: Path, monkeypatch: pytest.MonkeyPatch
):
    """A newer file that was renamed before the kill gets its name back at the next attempt."""
    expected = delivered(root)
    (top / "a/b/f").unlink()
    (top / "a/b" / (os.fsdecode(REMOVAL_PREFIX) + f"{expected.fingerprint.inode:x}")).write_text("newer")
    with pytest.raises((FileChangedError, FileGoneError)):
        source_removal.delete(root, expected, ALONE)
    assert {path.name: path.read_text() for path in (top / "a/b").iterdir()} == {"f": "newer"}


def test_a_file_written_after_the_crash_is_not_touched(root: Root, top: Path, monkeypatch: pytest.MonkeyPatch):
    """The renamed file is deleted, and a new file under its name stays."""
    expected = delivered(root)
    crash_before(monkeypatch, source_removal, "_unlink", lambda: source_removal.delete(root, expected, ALONE))
    (top / "a/b/f").write_text("newer")
    with pytest.raises(FileChangedError):
        source_removal.delete(root, expected, ALONE)
    assert {path.name: path.read_text() for path in (top / "a/b").iterdir()} == {"f": "newer"}


def test_a_route_that_keeps_now_gives_back_what_was_set_aside(root: Root, top: Path, monkeypatch: pytest.MonkeyPatch):
    """After a kill and a change to `keep` the file gets its name back."""
    expected = delivered(root)
    crash_before(monkeypatch, source_removal, "_unlink", lambda: source_removal.delete(root, expected, ALONE))
    source_removal.restore(root, expected)
    assert {path.name: path.read_bytes() for path in (top / "a/b").iterdir()} == {"f": b"0123456789"}
    source_removal.restore(root, expected)


@pytest.mark.parametrize("taken", ["f", f"f.{STAMP}"])
def test_a_move_cut_short_between_link_and_unlink_is_finished(root: Root, top: Path, tmp_path: Path, taken: str):
    """After a crash between link and unlink one name is left and no second copy."""
    expected, done = delivered(root), tmp_path / "done"
    (done / "a/b").mkdir(parents=True)
    (done / "a/b" / taken).hardlink_to(top / "a/b/f")
    source_removal.move(root, expected, target(done), ALONE)
    assert (names(done / "a/b"), names(top / "a/b")) == ([taken], [])


# Where to


def test_a_move_to_another_file_system_is_refused_with_the_remedy(root: Root, top: Path):
    """A move between file systems is refused, and the error says what to write."""
    other = Path("/dev/shm")
    assert other.stat().st_dev != top.stat().st_dev, "this test needs /dev/shm to be a file system of its own"
    into = other / f"crosshaul-{os.getpid()}"
    try:
        with pytest.raises(SourceError, match="another file system; set move_to"):
            source_removal.move(root, delivered(root), target(into), ALONE)
    finally:
        for directory in (into / "a/b", into / "a", into):
            directory.rmdir()
    assert (top / "a/b/f").exists()


def test_two_mounts_of_one_file_system_are_distinguished_from_two_file_systems(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A rename between two mounts of one file system has its own message."""

    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(source_removal, "rename_noreplace", refused)
    with pytest.raises(SourceError, match="another mount"):
        source_removal.move(root, delivered(root), target(tmp_path / "done"), ALONE)


def test_the_target_is_not_reached_through_a_symlink_below_it(root: Root, top: Path, tmp_path: Path):
    """A symlink below move_to does not redirect the file."""
    (tmp_path / "done").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "done/a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="not a directory, or a symlink"):
        source_removal.move(root, delivered(root), target(tmp_path / "done"), ALONE)
    assert (top / "a/b/f").exists()
    assert names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("planted", ["before", "after"])
@pytest.mark.parametrize("depth", ["done", "x/done"])
def test_a_target_in_the_watched_tree_that_is_swapped_for_a_symlink_leads_nowhere(
    root: Root, top: Path, tmp_path: Path, planted: str, depth: str
):
    """With a symlink in place of move_to in a watched tree nothing is created outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    first = top / Path(depth).parts[0]
    into = None if planted == "before" else target(top / depth, top)
    first.symlink_to(outside)
    with pytest.raises(SourceError, match="symlink"):
        source_removal.move(root, delivered(root), into or target(top / depth, top), ALONE)
    assert names(outside) == []
    assert (top / "a/b/f").exists()
    first.unlink()
    source_removal.move(root, delivered(root), target(top / depth, top), ALONE)
    assert (top / depth / "a/b/f").exists()


def test_a_target_in_the_tree_by_a_symlinked_spelling_is_guarded_just_so(root: Root, top: Path, tmp_path: Path):
    """The same holds if move_to is given by the operator's own link to the root."""
    (tmp_path / "link").symlink_to(top)
    (tmp_path / "outside").mkdir()
    (top / "done").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceError, match="symlink"):
        source_removal.move(root, delivered(root), target(tmp_path / "link/done", top), ALONE)
    assert names(tmp_path / "outside") == []


def test_a_target_elsewhere_is_the_directory_that_it_was_at_the_start(root: Root, top: Path, tmp_path: Path):
    """The operator's symlink is followed as at the start; one that is created later is not."""
    (tmp_path / "disk/done").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    into = target(tmp_path / "link/done", top)
    (tmp_path / "disk/done").rename(tmp_path / "was")
    (tmp_path / "disk/done").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceError, match="symlink"):
        source_removal.move(root, delivered(root), into, ALONE)
    assert names(tmp_path / "outside") == []
    (tmp_path / "disk/done").unlink()
    source_removal.move(root, delivered(root), into, ALONE)
    assert (tmp_path / "disk/done/a/b/f").exists()


def test_trouble_at_the_target_is_never_the_files_own(root: Root, top: Path, tmp_path: Path):
    """An error at the target is retried and does not count as a change of the source."""
    (tmp_path / "done").mkdir()
    (tmp_path / "done/a").write_text("in the way")
    with pytest.raises(SourceError) as output:
        source_removal.move(root, delivered(root), target(tmp_path / "done"), ALONE)
    assert type(output.value) is SourceError
