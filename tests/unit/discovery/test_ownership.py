"""The routes of a file, if mounts give one directory several names."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crosshaul.files.bind_mounts import Mounts

TABLE = rb"""22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:2 / /srv rw - ext4 /dev/sdb1 rw
31 22 8:2 /exports/a\040b /mnt/bind rw - ext4 /dev/sdb1 rw
32 22 8:2 /other /mnt/other rw - ext4 /dev/sdb1 rw
33 30 0:50 / /srv/exports/tmp rw - tmpfs none rw
34 31 0:50 / /mnt/again rw - tmpfs none rw
broken
"""

SCRIPT = """
import json, subprocess, sys
from pathlib import Path
from crosshaul.config import Config, Route
from crosshaul.discovery.ownership import Ownership
top = Path(sys.argv[1])
for name in ("exports/sub/deep", "exports/sub/tmp", "mnt", "outer"):
    (top / name).mkdir(parents=True)
(top / "exports/sub/deep/f").touch()
def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)
mount("-t", "tmpfs", "none", top / "exports/sub/tmp")
(top / "exports/sub/tmp/t").touch()
mount("--rbind", top / "exports/sub", top / "mnt")
mount("--bind", top / "exports/sub/deep", top / "outer")
def route(name, path, **more):
    return Route(name=name, path=top / path, destination="d", **more)
routes = (route("all", "exports", cross_filesystems=True), route("one", "exports"),
          route("bound", "mnt", cross_filesystems=True), route("deep", "outer"))
ownership = Ownership(lambda: Config.model_construct(state_dir=top / "state", routes=routes))
of = {each.name: each for each in routes}
for name, path in (("bound", b"deep/f"), ("deep", b"f"), ("all", b"sub/deep/f"), ("bound", b"tmp/t")):
    (owners,) = ownership.owners(of[name], [path])
    print(json.dumps(sorted([place.route, place.path.decode()] for place in owners.places)))
(top / "exports/twin").mkdir()
mount("--bind", top / "exports/sub/deep", top / "exports/twin")
alone = Ownership(lambda: Config.model_construct(state_dir=top / "state", routes=(of["one"],)))
(owners,) = alone.owners(of["one"], [b"twin/f"])
print(json.dumps(sorted([place.route, place.path.decode()] for place in owners.places)))
"""


def test_a_directory_has_a_name_for_each_mount_that_shows_it():
    """A directory has a name per mount of its file system; blanks in the mount table are decoded."""
    mounts = Mounts(TABLE)
    assert set(mounts.names(b"/srv/exports/a b/c")) == {b"/srv/exports/a b/c", b"/mnt/bind/c"}
    assert set(mounts.names(b"/mnt/bind")) == {b"/mnt/bind", b"/srv/exports/a b"}
    assert set(mounts.names(b"/mnt/other/x")) == {b"/mnt/other/x", b"/srv/other/x"}
    assert set(mounts.names(b"/srv/exports/tmp/t")) == {b"/srv/exports/tmp/t", b"/mnt/again/t"}
    assert set(mounts.names(b"/etc")) == {b"/etc"}
    assert list(Mounts(b"").names(b"/etc")) == [b"/etc"]


def test_bind_mounts_are_seen_through(tmp_path: Path):
    """Owners are found through bind mounts from either side, with nested mounts, and for a single route."""
    command = ["unshare", "-Urm", sys.executable, "-c", SCRIPT, str(tmp_path)]
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [["all", "sub/deep/f"], ["deep", "f"], ["one", "sub/deep/f"]],
        [["all", "sub/deep/f"], ["bound", "deep/f"], ["one", "sub/deep/f"]],
        [["bound", "deep/f"], ["deep", "f"], ["one", "sub/deep/f"]],
        [["all", "sub/tmp/t"]],
        [["one", "sub/deep/f"]],
    ]
