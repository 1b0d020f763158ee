"""Files whose writers can't be seen: another user's without CAP_LEASE, and file systems without reliable leases."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from crosshaul.delivery.after_upload import source_removal, writer_visibility
from crosshaul.delivery.after_upload.source_verification import ExpectedSource, RemovalGuard
from crosshaul.delivery.after_upload.writer_visibility import Leases, invisible_writers, keep_seconds, leases_at
from crosshaul.errors import SourceError
from crosshaul.files import rename
from crosshaul.files.move_target import MoveTarget
from crosshaul.files.root import Root
from crosshaul.model import Fingerprint, SettleReason
from support.other_user import as_user

SERVICE, WRITER = 65532, 4711
LOCAL = Leases(granted_tells=True, refused_tells=True)
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Make a directory in which every user may write, with a file of another user."""
    for parent in (tmp_path, *tmp_path.parents[:-1]):
        parent.chmod(parent.stat().st_mode | 0o011)
    top = tmp_path / "root"
    for directory in (top, tmp_path / "done"):
        directory.mkdir()
        directory.chmod(0o777)
    (top / "f").write_bytes(b"first")
    (top / "f").chmod(0o644)
    return top


def act(top: Path, guard: RemovalGuard, *, move: bool = False) -> str:
    """Delete or move the file; return the error."""
    expected = ExpectedSource(b"f", Fingerprint.of((top / "f").stat()), None, "stamp")
    try:
        with Root.open(top) as root:
            if move:
                source_removal.move(root, expected, MoveTarget(top.parent / "done", [top]), guard)
            else:
                source_removal.delete(root, expected, guard)
    except SourceError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def guard(leases: Leases = LOCAL, *, may_go: bool = False, reason: SettleReason = SettleReason.QUIET) -> RemovalGuard:
    return RemovalGuard(lambda _: False, lambda: False, leases, reason, unseen_may_go=may_go)


def as_service(deed, *closing: int) -> str:
    """Return the result of ``deed`` in a process of another user, without capabilities and our open files."""
    rename._renameat2()  # what is imported late may lie where other users read nothing
    return as_user(SERVICE, deed, closing=closing)


@ROOT_ONLY
@pytest.mark.parametrize("move", [False, True])
def test_another_users_file_stays_although_its_writer_is_in_no_list(top: Path, move: bool):
    """Its writer holds it open and pauses; a service of another user sees neither lease nor process: nothing is lost.

    Once its time has come it goes.
    """
    os.chown(top / "f", WRITER, WRITER)
    with (top / "f").open("ab") as writer:
        output = as_service(lambda: act(top, guard(), move=move), writer.fileno())
        assert output.startswith("WritersUnseenError: f: programs that write to it can't be seen: it belongs ")
        assert f"(uid {WRITER}), and the service has no CAP_LEASE; it is kept for 15 min after its delivery" in output
        assert "give the service CAP_LEASE" in output
        writer.write(b"rest")
    assert (top / "f").read_bytes() == b"firstrest"
    assert as_service(lambda: act(top, guard(may_go=True), move=move)) == ""
    assert not (top / "f").exists()


@ROOT_ONLY
def test_with_cap_lease_or_the_files_owner_a_lease_tells(top: Path):
    """With CAP_LEASE, or as owner, the file is deleted at once, and never under its writer."""
    os.chown(top / "f", SERVICE, SERVICE)
    for deed in (lambda: act(top, guard()), lambda: as_service(lambda: act(top, guard()))):
        with (top / "f").open("ab"):
            assert deed().startswith("FileInUseError")
        assert deed() == ""
        (top / "f").touch()
        os.chown(top / "f", SERVICE, SERVICE)


def refuse_leases(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    original = fcntl.fcntl

    def refusing(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETLEASE:
            raise OSError(error, os.strerror(error))
        return original(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refusing)


@pytest.mark.parametrize("error", [errno.EACCES, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_whatever_refuses_leases_says_nothing_of_writers(top: Path, monkeypatch: pytest.MonkeyPatch, error: int):
    """Whatever the reason for a missing lease, the file stays until its time is over."""
    refuse_leases(monkeypatch, error)
    assert act(top, guard()).startswith("WritersUnseenError")
    assert act(top, guard(may_go=True)) == ""


def test_an_nfs_client_without_a_delegation_keeps_no_file_for_ever(top: Path, monkeypatch: pytest.MonkeyPatch):
    """EAGAIN means a writer on a local disk only; on NFSv4 the file is removed after its time."""
    refuse_leases(monkeypatch, errno.EAGAIN)
    assert act(top, guard(may_go=True)).startswith("FileInUseError")
    remote = Leases(granted_tells=True, refused_tells=False)
    assert act(top, guard(remote)).startswith("WritersUnseenError")
    assert act(top, guard(remote, may_go=True)) == ""


def test_a_lease_of_fuse_says_nothing_of_another_machines_writers(top: Path):
    """A lease on FUSE does not shorten the time, because other machines may write."""
    assert act(top, guard(Leases())).startswith("WritersUnseenError")
    assert act(top, guard(Leases(), may_go=True)) == ""


@pytest.mark.parametrize(
    ("holder", "below", "granted", "refused"),
    [
        ("ext4", {"nfs4"}, True, True),
        ("overlay", set(), True, True),
        ("nfs4", set(), True, False),
        ("cifs", set(), True, False),
        ("nfs", set(), False, False),
        ("fuse.sshfs", set(), False, False),
        ("virtiofs", set(), False, False),
        ("9p", set(), False, False),
    ],
)
def test_what_leases_tell_is_known_by_the_mount_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str, below: set[str], granted: bool, refused: bool
):
    """Local disks: a granted and a refused lease count; NFSv4, SMB: a granted one; others, also below: neither."""
    monkeypatch.setattr(writer_visibility, "types_at", lambda *_: (holder, frozenset(below)))
    assert leases_at(tmp_path, with_mounts=False) == Leases(granted, refused)
    assert leases_at(tmp_path, with_mounts=True) == Leases(granted, refused and not below)
    assert (invisible_writers(tmp_path, with_mounts=False) is None) == granted


@ROOT_ONLY
def test_it_is_foreseen_where_other_users_may_write(top: Path):
    """Without CAP_LEASE the hint is logged at the start for directories in which other users may write."""
    output = as_service(lambda: invisible_writers(top, with_mounts=False))
    assert output.startswith(f"writers to files of users other than uid {SERVICE} can't be seen without CAP_LEASE")
    os.chown(top, SERVICE, SERVICE)
    assert as_service(lambda: invisible_writers(top, with_mounts=False))
    top.chmod(0o755)
    assert as_service(lambda: invisible_writers(top, with_mounts=False)) == ""
    assert invisible_writers(top, with_mounts=False) is None


def test_of_a_record_of_old_nothing_is_known():
    """Without a recorded reason a source stays for the longest time."""
    assert (keep_seconds(None), keep_seconds(SettleReason.QUIET), keep_seconds(SettleReason.CLOSED)) == (900, 900, 60)
