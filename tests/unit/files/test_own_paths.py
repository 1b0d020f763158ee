"""The daemon's own paths (state_dir, move_to, its log) are never delivered, by whatever path."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crosshaul.config import Config, Route, load
from crosshaul.discovery.scanner import Scanner
from crosshaul.errors import ConfigError
from crosshaul.files.own_paths import REMOVAL_PREFIX, OwnPaths, identity_at

DESTINATION = {"bucket": "partner-bucket", "region": "us-east-1"}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "root/sub").mkdir(parents=True)
    (tmp_path / "root/f").write_text("f")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    return tmp_path / "root"


def scanner(top: Path, *, state_dir: Path, **route: object) -> Scanner:
    """Return a scanner as the daemon has it, which finds the own paths at each scan."""
    routes = (Route(name="r", path=top, destination="d", **route),)
    config = Config.model_construct(state_dir=state_dir, routes=routes, destinations={})
    return Scanner(routes[0], lambda: OwnPaths.read(config))


def scanned(scanner: Scanner, entered: list[bytes] | None = None) -> set[bytes]:
    watched = [] if entered is None else entered
    batches = scanner.scan(on_directory=lambda directory, _: watched.append(directory.path))
    return {sighting.path for batch in batches for sighting in batch.sightings}


@pytest.mark.parametrize("spelled", ["root", "link"])
@pytest.mark.parametrize("place", ["state", "sub/state"])
def test_state_dir_and_move_to_are_neither_scanned_nor_watched_nor_looked_at(
    top: Path, tmp_path: Path, spelled: str, place: str
):
    """Own directories are skipped with all below, at any depth, by the root's path or through a symlink."""
    (top / place / "deeper").mkdir(parents=True)
    for name in ("journal.db", "deeper/f"):
        (top / place / name).write_text("ours")
    here = tmp_path / spelled / place
    for own in ({"state_dir": here}, {"state_dir": tmp_path / "s", "after_upload": {"move_to": here}}):
        entered: list[bytes] = []
        scan = scanner(top, **own)
        assert scanned(scan, entered) == {b"f"}
        assert not [path for path in entered if path.startswith(place.encode())]
        inside = [f"{place}/journal.db".encode(), f"{place}/deeper/f".encode(), f"{place}/deeper".encode()]
        look = scan.stat_paths([*inside, b"f"])
        assert ([sighting.path for sighting in look.sightings], look.directories, look.absent) == ([b"f"], [], [])
        assert list(scan.scan(f"{place}/deeper".encode()))[-1].sightings == []


def test_a_directory_of_the_same_name_elsewhere_is_delivered(top: Path, tmp_path: Path):
    """A directory of the same name elsewhere is delivered."""
    (top / "done").mkdir()
    (top / "done/f").touch()
    (tmp_path / "done").mkdir()
    assert scanned(scanner(top, state_dir=tmp_path / "s", after_upload={"move_to": tmp_path / "done"})) == {
        b"f",
        b"done/f",
    }


def test_what_becomes_the_daemons_own_is_left_out_from_the_next_scan_on(top: Path, tmp_path: Path):
    """A move_to that is created later is skipped from the next scan on, also through a symlink."""
    (tmp_path / "other").symlink_to(top / "sub")
    moving = {"move_to": tmp_path / "other/done"}
    scan = scanner(top, state_dir=tmp_path / "s", after_upload=moving, symlinks="follow_inside")
    assert scanned(scan) == {b"f"}
    (top / "sub/done").mkdir()
    (top / "sub/done/f").touch()
    (top / "way").symlink_to("sub/done")
    (top / "file").symlink_to("sub/done/f")
    assert scanned(scan) == {b"f"}


def test_a_bind_mount_is_the_same_directory(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Device and inode identify an own directory where paths do not (a simulated bind mount)."""
    (top / "sub/journal.db").touch()
    scan = Scanner(
        Route(name="r", path=top, destination="d"),
        lambda: OwnPaths(frozenset([identity_at(top / "sub") or (0, 0)])),
    )
    assert scanned(scan) == {b"f"}
    assert scan.stat_paths([b"sub/journal.db"]).sightings == []


def test_our_own_log_is_left_out_and_reported(top: Path):
    """Standard error to a file in the watched directory is reported, and never delivered."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom crosshaul.config import Config, Route\n"
        "from crosshaul.files.own_paths import OwnPaths\nfrom crosshaul.discovery.scanner import Scanner\n"
        "route = Route(name='r', path=Path(sys.argv[1]), destination='d')\n"
        "config = Config.model_construct(state_dir=Path('/none'), routes=(route,))\n"
        "scan = Scanner(route, lambda: OwnPaths.read(config))\n"
        "(batch,) = scan.scan()\n"
        "stats = scan.stat_paths([b'log'])\n"
        "print([s.path for s in batch.sightings], [p.message for p in batch.problems], stats.sightings)"
    )
    with (top / "log").open("ab") as log:
        command = [sys.executable, "-c", script, str(top)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, check=True)
    assert done.stdout.decode().startswith("[b'f'] ['log: the daemon writes its log"), done
    assert done.stdout.decode().rstrip().endswith("[]")


def test_a_source_that_is_being_deleted_is_no_file(top: Path, tmp_path: Path):
    """The temporary name of a file that is being deleted is never delivered."""
    (top / "sub" / (os.fsdecode(REMOVAL_PREFIX) + "1f")).touch()
    assert scanned(scanner(top, state_dir=tmp_path / "s")) == {b"f"}


def loaded(tmp_path: Path, **settings: object) -> Config:
    import json

    file = tmp_path / "config.json"
    file.write_text(json.dumps({"destinations": {"d": DESTINATION}, **settings}))
    return load(file)


def test_validation_sees_through_symlinks(top: Path, tmp_path: Path):
    """state_dir in a root, move_to that is a root, and one tree twice are refused, by whatever path."""
    (tmp_path / "into").symlink_to(top / "sub")
    route = {"name": "r", "path": str(top), "destination": "d"}
    for state_dir in (top / "x", tmp_path / "link/x", tmp_path / "into/x/y"):
        with pytest.raises(ConfigError, match="the journal would be delivered"):
            loaded(tmp_path, state_dir=str(state_dir), routes=[route])
    moving = route | {"after_upload": {"move_to": str(tmp_path / "link")}}
    twice = route | {"name": "twice", "path": str(tmp_path / "link")}
    below = route | {"name": "below", "path": str(tmp_path / "into")}
    for routes, output in (
        ([moving], "is watched by"),
        ([route, twice], "the same directory"),
        ([route, below], "nested with"),
    ):
        with pytest.raises(ConfigError, match=output):
            loaded(tmp_path, state_dir=str(tmp_path / "s"), routes=routes, destinations={})
    assert loaded(tmp_path, state_dir=str(tmp_path / "s"), routes=[route])
