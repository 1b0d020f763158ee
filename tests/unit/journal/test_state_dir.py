"""The errors of ``state_dir``, each one line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from crosshaul.errors import StateDirError
from crosshaul.journal import Journal, Reader, requeue
from crosshaul.journal.sqlite import connect
from crosshaul.journal.state_dir import prepare, private_file
from crosshaul.model import State
from support.journal_samples import DONE, ROUTE, settled
from support.other_user import as_user
from support.virtual_time import ManualClock


async def opened(state_dir: Path) -> Journal:
    return await Journal.open(state_dir, ManualClock())


async def refusal(state_dir: Path) -> str:
    with pytest.raises(StateDirError) as caught:
        await opened(state_dir)
    assert "\n" not in str(caught.value)
    assert str(state_dir) in str(caught.value)
    return str(caught.value)


def set_mode(path: Path, wanted: int) -> None:
    path.chmod(wanted)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_everything_is_private(tmp_path: Path) -> None:
    """The directory and its parents are created with mode 0700, and its files with 0600, whatever the umask."""
    before = os.umask(0)
    try:
        journal = await opened(tmp_path / "var" / "state")
        await journal.admit([settled(b"a")])
        assert mode(tmp_path / "var" / "state") == 0o700
        files = {path.name: mode(path) for path in (tmp_path / "var" / "state").iterdir()}
        assert {connect.DATABASE, "lock"} < set(files)
        assert set(files.values()) == {0o600}
        await journal.close()
    finally:
        os.umask(before)


async def test_an_open_directory_of_ours_is_closed(tmp_path: Path) -> None:
    """An empty directory that is open to others is made 0700, and so is one with a journal."""
    for _ in range(2):
        set_mode(tmp_path, 0o755)
        await (await opened(tmp_path)).close()
        assert mode(tmp_path) == 0o700


async def test_a_shared_directory_is_refused(tmp_path: Path) -> None:
    """A directory that is open to others and holds their files is neither used nor changed."""
    (tmp_path / "theirs").touch()
    set_mode(tmp_path, 0o1777)
    line = await refusal(tmp_path)
    assert "open to other users (mode 1777)" in line
    assert "chmod 700" in line
    assert (mode(tmp_path), (tmp_path / "lock").exists()) == (0o1777, False)


def names_in(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir()]


def own(path: Path, uid: int) -> None:
    os.chown(path, uid, uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make what is another's")
@pytest.mark.parametrize("wanted", [0o700, 0o755, 0o2777])
async def test_another_users_directory_is_refused(tmp_path: Path, wanted: int) -> None:
    """Root creates nothing in another user's state_dir; the error names the owner."""
    own(tmp_path, 65532)
    set_mode(tmp_path, wanted)
    assert "belongs to another user (uid 65532; this is uid 0): run Crosshaul as that user" in await refusal(tmp_path)
    assert (set(names_in(tmp_path)), mode(tmp_path)) == (set(), wanted)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize("lost_and_found", [False, True])
def test_a_volume_as_kubernetes_mounts_it(tmp_path: Path, lost_and_found: bool) -> None:
    """The root of a Kubernetes volume is refused (root's, mode 2777 or 2775), and a directory below it works."""
    volume = tmp_path / "volume"
    volume.mkdir()
    if lost_and_found:
        (volume / "lost+found").mkdir(mode=0o700)
    os.chown(volume, 0, 10001)
    set_mode(volume, 0o2775 if lost_and_found else 0o2777)
    for parent in (tmp_path, *tmp_path.parents[:-1]):
        set_mode(parent, mode(parent) | 0o011)
    output = prepared_by_another(volume)
    assert f"set a new directory below it, such as {volume}/state" in output, output
    assert prepared_by_another(volume / "state") == ""
    assert mode(volume / "state") & 0o777 == 0o700


def prepared_by_another(state_dir: Path) -> str:
    """Prepare the directory in a process of uid 65532 with the volume's group; return the error."""

    def action() -> str:
        try:
            prepare(state_dir)
        except StateDirError as error:
            return str(error)
        return ""

    return as_user(65532, action, groups=[10001])


async def test_what_a_check_leaves_is_no_stranger(tmp_path: Path) -> None:
    """An open directory with only our commands' files, or the file system's own, is made private."""
    for name in ("capabilities.json", "lost+found"):
        (tmp_path / name).touch()
    set_mode(tmp_path, 0o755)
    await (await opened(tmp_path)).close()
    assert mode(tmp_path) == 0o700


async def test_a_file_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for another user's lock file names the owner and the remedy."""
    (tmp_path / "lock").touch(0o600)
    monkeypatch.setattr(os, "open", refusing(13))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(StateDirError, match=r"can't be written.*belongs to another user \(uid \d+\): chown all of"):
        private_file(tmp_path / "lock")


def refusing(number: int) -> Callable[..., int]:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


async def test_a_file_in_its_place(tmp_path: Path) -> None:
    """A state_dir that is a file is named as such."""
    (tmp_path / "file").touch()
    assert "is not a directory" in await refusal(tmp_path / "file")


@pytest.mark.parametrize("place", ["file/state", "file/deep/state"])
async def test_a_directory_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    """The error for a state_dir below a file says why it can't be created."""
    (tmp_path / "file").touch()
    assert "can't be made or used: Not a directory" in await refusal(tmp_path / place)


async def test_a_directory_that_cannot_be_written() -> None:
    """The error for a directory that the kernel does not let us write to says what to do."""
    assert re.search("can't be (made|written)", await refusal(Path("/proc/self/crosshaul")))


@pytest.mark.parametrize("name", ["lock", connect.DATABASE])
async def test_a_directory_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    """A directory in place of a file in state_dir is named."""
    (tmp_path / "state" / name).mkdir(parents=True)
    (tmp_path / "state").chmod(0o700)
    assert f"{tmp_path / 'state' / name} can't be written" in await refusal(tmp_path / "state")


async def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    """Another file under the journal's name is kept, by the daemon and by readers."""
    set_mode(tmp_path, 0o700)
    (tmp_path / connect.DATABASE).write_bytes(b"something else " * 1000)
    assert "it is not a journal" in await refusal(tmp_path)
    with pytest.raises(StateDirError, match="it is not a journal"):
        Reader.open(tmp_path)
    assert (tmp_path / connect.DATABASE).read_bytes() == b"something else " * 1000


async def test_a_damaged_journal(tmp_path: Path) -> None:
    """Every reader and writer reports overwritten pages as damage, with what to do."""
    journal = await opened(tmp_path / "state")
    await journal.admit([settled(b"%06d" % number) for number in range(2000)])
    await journal.close()
    database = tmp_path / "state" / connect.DATABASE
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (database.stat().st_size - 8192))
    line = await refusal(tmp_path / "state")
    assert "it is damaged" in line
    assert "Restore it from a backup, or move it away" in line


async def test_the_lock_is_free_after_a_failed_start(tmp_path: Path) -> None:
    """A failed opening of the journal leaves no lock."""
    set_mode(tmp_path, 0o700)
    (tmp_path / connect.DATABASE).write_bytes(b"something else " * 1000)
    await refusal(tmp_path)
    (tmp_path / connect.DATABASE).unlink()
    await (await opened(tmp_path)).close()


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """On a full disk a write fails with an error that says so; with free space again the journal continues."""
    journal = await opened(tmp_path / "state")
    await journal.admit([settled(b"first")])
    (claim,) = await journal.claim([ROUTE], 1)
    connection = journal._writer._connection
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StateDirError, match=r"the disk is full .*Free some space"):
        await journal.admit([settled(b"%06d" % number) for number in range(900)])
    assert await journal.find(ROUTE, b"000001") is None
    connection.execute("PRAGMA max_page_count = 1000000")
    await journal.admit([settled(b"%06d" % number) for number in range(900)])
    assert await journal.finish(claim, DONE) == State.DELIVERED
    await journal.close()


def test_no_journal_yet(tmp_path: Path) -> None:
    """Readers and requeue report that there is no journal, and create none."""
    for ask in (Reader.open, lambda state_dir: requeue(state_dir, None)):
        with pytest.raises(StateDirError, match=f"There is no journal in {tmp_path} yet"):
            ask(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_odd_names(tmp_path: Path) -> None:
    """Special characters of URIs, and bytes that are not text, are valid in state_dir."""
    odd = tmp_path / os.fsdecode(b"a?b#c%20d \xff")
    journal = await opened(odd)
    await journal.admit([settled(b"a")])
    with Reader.open(odd) as reader:
        assert reader.find(ROUTE, b"a") is not None
    await journal.close()
