"""Scans and stats of single paths, on a real file system."""

import functools
import os
import socket
import subprocess
import tracemalloc
from collections.abc import Generator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from crosshaul.config import Route
from crosshaul.discovery.scan_results import ScanBatch
from crosshaul.discovery.scanner import Scanner
from crosshaul.discovery.tree_scan import BATCH_ENTRIES
from crosshaul.errors import FileChangedError, FileGoneError
from crosshaul.model import Fingerprint, Sighting


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def deep(tmp_path: Path):
    """Yield a directory for a tree that is too deep for shutil to delete."""
    (tmp_path / "deep").mkdir()
    yield tmp_path / "deep"
    subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)


def scanner(top: Path, **route: object) -> Scanner:
    return Scanner(Route(name="r", path=top, destination="d", **route))


def found(batches) -> set[bytes]:
    return {sighting.path for batch in batches for sighting in batch.sightings}


def problems(batches) -> list[str]:
    return [problem.message for batch in batches for problem in batch.problems]


def note_path(entered: set[bytes], directory: Any, _: object) -> None:
    entered.add(directory.path)


def make(top: Path, *names: str) -> None:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)


def test_every_regular_file_is_seen_and_nothing_is_hidden(top: Path):
    """Hidden files, backups, empty files and names that are not UTF-8 are found with their state."""
    names = [b".hidden", b".git/config", b"a~", b".x.swp", b"caf\xe9", b"d/e/f", b"new\nline"]
    for name in names:
        path = top / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    batches = list(scanner(top).scan())
    assert found(batches) == set(names)
    assert Sighting("r", b"d/e/f", Fingerprint.of((top / "d/e/f").stat())) in batches[-1].sightings


def test_what_is_no_file_is_passed_by_without_blocking(top: Path):
    """FIFOs, sockets and symlinks are skipped silently."""
    os.mkfifo(top / "fifo")
    make(top, "f")
    (top / "link").symlink_to("f")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(top / "sock"))
        batches = list(scanner(top).scan())
    assert found(batches) == {b"f"}
    assert problems(batches) == []


def test_patterns_are_gitignore_s(top: Path):
    """Include and exclude follow gitignore, with the last match winning, anchors, ** and directories."""
    make(top, "a.csv", "a.tmp", "keep.tmp", "d/b.csv", "d/tmp/c.csv", "build/x.csv", "d/build/y.csv", "note.txt")
    only = scanner(top, include=["*.csv", "*.tmp"], exclude=["*.tmp", "!keep.tmp", "/build/", "d/**/c.csv"])
    assert found(only.scan()) == {b"a.csv", b"keep.tmp", b"d/b.csv", b"d/build/y.csv"}
    assert found(scanner(top, include=["**", "!*.csv"]).scan()) == {b"a.tmp", b"keep.tmp", b"note.txt"}


def test_an_excluded_directory_is_not_entered(top: Path):
    """An excluded directory is not listed, unless a pattern may include something in it again."""
    make(top, "node/x/y", "f")
    for exclude, expected in (
        (
            ["node/"],
            {
                b"",
            },
        ),
        (["node/", "!z"], {b"", b"node", b"node/x"}),
    ):
        entered: set[bytes] = set()
        assert found(scanner(top, exclude=exclude).scan(on_directory=functools.partial(note_path, entered))) == {b"f"}
        assert entered == expected


def test_markers_are_not_delivered_themselves(top: Path):
    """Marker files are not delivered, and markers() returns the existing ones by file."""
    make(top, "a", "a.done", "b")
    marked = scanner(top, settle={"marker": "{path}.done"})
    batches = list(marked.scan())
    assert found(batches) == {b"a", b"b"}
    markers = marked.markers([sighting for batch in batches for sighting in batch.sightings])
    assert markers == {b"a": Fingerprint.of((top / "a.done").stat())}
    assert marked.stat_paths([b"a.done"]).markers == [b"a.done"]


def test_links_inside_are_followed_on_request_and_links_outside_never(top: Path, tmp_path: Path):
    """follow_inside follows links within the root, but no outside, dangling or circular ones."""
    make(top, "real/f", "real/deep/g")
    make(tmp_path, "outside/secret")
    (top / "file").symlink_to("real/f")
    (top / "dir").symlink_to("real")
    (top / "out").symlink_to(tmp_path / "outside")
    (top / "leak").symlink_to(tmp_path / "outside/secret")
    (top / "nowhere").symlink_to("none")
    (top / "real/up").symlink_to("..")
    (top / "real/self").symlink_to(".")
    (top / "real/deep/cross").symlink_to("../../dir")
    real = {b"real/f", b"real/deep/g"}
    assert found(scanner(top).scan()) == real
    follows = scanner(top, symlinks="follow_inside")
    batches = list(follows.scan())
    assert found(batches) == real | {b"file", b"dir/f", b"dir/deep/g"}
    assert len(problems(batches)) == 2
    look = follows.stat_paths([b"file", b"leak", b"nowhere"])
    assert [sighting.path for sighting in look.sightings] == [b"file"]
    assert look.sightings[0].fingerprint == Fingerprint.of((top / "real/f").stat())
    assert look.absent == [b"leak", b"nowhere"]


def test_directories_that_link_to_each_other_don_t_go_round_for_ever(top: Path):
    """Of two directories that link to each other, each is scanned through the other once."""
    make(top, "a/f", "b/g")
    (top / "a/x").symlink_to("../b")
    (top / "b/y").symlink_to("../a")
    batches = scanner(top, symlinks="follow_inside").scan()
    seen = {sighting.path for batch in islice(batches, 10) for sighting in batch.sightings}
    assert seen == {b"a/f", b"b/g", b"a/x/g", b"b/y/f"}


def test_a_directory_that_becomes_a_symlink_during_the_scan_is_not_entered(top: Path, tmp_path: Path):
    """A directory that is replaced by a link between listing and opening is skipped."""
    make(tmp_path, "outside/secret")
    make(top, "d/f", *(f"n{number:04}" for number in range(BATCH_ENTRIES)))
    walk = scanner(top).scan()
    seen = found([next(walk)])
    (top / "d").rename(tmp_path / "was")
    (top / "d").symlink_to(tmp_path / "outside")
    seen |= found(walk)
    assert b"d/secret" not in seen
    assert b"d/f" not in seen
    assert len(seen) == BATCH_ENTRIES


def test_an_unreadable_directory_hides_nobody_else(top: Path, monkeypatch: pytest.MonkeyPatch):
    """An unreadable directory is reported by name, and all others are scanned."""
    make(top, "a/f", "b/f", "c/f")
    really = os.open

    def denied(path, flags, *rest, **options):
        if path == b"b":
            raise PermissionError(13, "Permission denied")
        return really(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", denied)  # these tests may run as root, who ignores modes
    batches = list(scanner(top).scan())
    assert found(batches) == {b"a/f", b"c/f"}
    assert problems(batches) == ["b: Permission denied; skipped until it can be read"]


def test_other_file_systems_are_crossed_only_when_asked(top: Path):
    """/dev/shm below /dev is reported and skipped, and scanned with cross_filesystems."""
    name = f"crosshaul-{os.getpid()}"
    Path("/dev/shm", name).touch()
    try:
        assert Path("/dev/shm").stat().st_dev != Path("/dev").stat().st_dev
        include = [f"/shm/{name}"]
        stays = list(scanner(Path("/dev"), include=include).scan())
        assert found(stays) == set()
        assert any(line.startswith("shm: on another file system") for line in problems(stays))
        assert found(scanner(Path("/dev"), include=include, cross_filesystems=True).scan()) == {f"shm/{name}".encode()}
    finally:
        Path("/dev/shm", name).unlink()


def test_a_missing_or_replaced_root_never_looks_like_deletion(top: Path, tmp_path: Path):
    """With a missing or replaced root no file counts as absent."""
    make(top, "f")
    walks = scanner(top)
    list(walks.scan())
    assert walks.stat_paths([b"g"]).absent == [b"g"]
    top.rename(tmp_path / "away")
    with pytest.raises(FileGoneError):
        list(walks.scan())
    with pytest.raises(FileGoneError):
        walks.stat_paths([b"f"])
    top.mkdir()
    with pytest.raises(FileChangedError, match="took its place"):
        walks.stat_paths([b"f"])
    assert "is the volume mounted" in next(walks.scan()).problems[0].message
    with pytest.raises(FileChangedError, match="took its place"):
        walks.stat_paths([b"f"])
    make(top, "other")
    list(walks.scan())
    assert walks.stat_paths([b"f"]).absent == [b"f"]


def nest(top: Path, name: bytes, levels: int, files_every: int) -> None:
    """Make nested directories with a file in some of them and at the bottom."""
    descriptor = os.open(top, os.O_RDONLY)
    for level in range(levels):
        if level % files_every == 0:
            os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


def test_a_tree_of_a_thousand_levels_is_scanned_with_few_descriptors(deep: Path):
    """A deep tree costs neither recursion nor descriptors."""
    levels, name = 1_000, b"ddd"
    nest(deep, name, levels, 500)
    most = 0

    def count(*_: object) -> None:
        nonlocal most
        most = max(most, len(list(Path("/proc/self/fd").iterdir())))

    before = len(list(Path("/proc/self/fd").iterdir()))
    batches = list(scanner(deep).scan(on_directory=count))
    assert problems(batches) == []
    assert found(batches) == {b"/".join([*[name] * level, b"f"]) for level in range(0, levels, 500)} | {
        b"/".join([*[name] * levels, b"bottom"])
    }
    assert most < before + 80
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(("size", "kept"), [(1, 2_048), (250, 16)])
def test_thousands_of_nested_directories_cost_little_and_are_reported_in_a_line(deep: Path, size: int, kept: int):
    """Paths above 4,096 bytes are not scanned: 4,000 levels cost little memory and give one line."""
    nest(deep, b"d" * size, 4_000, 1)
    directories = []
    tracemalloc.start()
    batches = list(scanner(deep).scan(on_directory=lambda directory, _: directories.append(directory)))
    peak = tracemalloc.get_traced_memory()[1]
    batches.clear()
    watched = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(directories) == kept + 1
    assert peak < 20_000_000
    assert watched < 1_000_000
    batches = list(scanner(deep).scan())
    assert max(map(len, found(batches))) <= 4_096
    (line,) = problems(batches)
    assert "names in it are longer than 4,096 bytes" in line
    assert len(line) < 400


def test_a_directory_full_of_paths_that_are_too_long_is_one_line(deep: Path):
    """Two thousand files with too long paths are counted in one line, and the others are found."""
    nest(deep, b"d" * 200, 20, 100)
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(20):
        below = os.open(b"d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    for number in range(2_000):
        os.close(os.open(f"{number:0200}", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    batches = list(scanner(deep).scan())
    assert {path.rpartition(b"/")[2] for path in found(batches)} == {b"f", b"bottom"}
    (line,) = problems(batches)
    assert "paths of 2,000 names in it" in line


def test_a_large_tree_comes_in_small_batches_and_little_memory(top: Path):
    """20,000 files in 20 directories are found once each, in bounded batches, within 3 MB."""
    for directory in range(20):
        (top / f"{directory}").mkdir()
        for number in range(1_000):
            os.close(os.open(top / f"{directory}/{number:04}", os.O_CREAT | os.O_WRONLY))
    tracemalloc.start()
    total = 0
    for batch in scanner(top).scan():
        assert len(batch.sightings) <= BATCH_ENTRIES
        total += len(batch.sightings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 20_000
    assert peak < 3_000_000


def test_a_scan_that_is_given_up_leaves_no_descriptor(top: Path):
    """Closing the generator early closes its descriptors."""
    make(top, *(f"d/e/{number}" for number in range(2 * BATCH_ENTRIES)))
    before = len(list(Path("/proc/self/fd").iterdir()))
    walk = scanner(top).scan()
    assert isinstance(walk, Generator)
    assert isinstance(next(walk), ScanBatch)
    walk.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_one_directory_can_be_scanned_alone(top: Path):
    """A scan from a directory returns what is below it with full relative paths; from a missing one, nothing."""
    make(top, "a/b/f", "a/g", "c")
    assert found(scanner(top).scan(b"a")) == {b"a/b/f", b"a/g"}
    assert found(scanner(top).scan(b"none/x")) == set()


def test_looking_tells_files_directories_and_what_is_absent(top: Path):
    """stat_paths distinguishes files, directories, absent paths and excluded ones."""
    make(top, "f", "d/g", "x.tmp")
    os.mkfifo(top / "fifo")
    look = scanner(top, exclude=["*.tmp"]).stat_paths([b"f", b"d", b"d/g", b"none", b"f/below", b"x.tmp", b"fifo"])
    assert [sighting.path for sighting in look.sightings] == [b"f", b"d/g"]
    assert look.directories == [b"d"]
    assert look.absent == [b"none", b"f/below", b"fifo"]
