"""The container commands in docs/OPERATIONS.md, run as written in a fresh clone: each delivers a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.containers import PODMAN, Pod
from support.documents import REPOSITORY, block

pytestmark = pytest.mark.container
SOURCES = os.environ.get("CROSSHAUL_SOURCES", "")
"""A copy of what the Containerfile takes, with the packages fetched."""


@pytest.fixture
def clone(tmp_path):
    """Make a clone with the packages beside it, because a build without an index needs them."""
    made = tmp_path / "clone"
    shutil.copytree(SOURCES, made)
    shutil.copytree(REPOSITORY / "deploy", made / "deploy")
    return made


def do(script: str, where: Path, pod: Pod) -> None:
    """Run a block of the document in the clone."""
    path = os.pathsep.join([str(Path(PODMAN).parent), os.environ["CROSSHAUL_COMPOSE"], os.environ["PATH"]])
    environment = {**os.environ, **pod.keys(), "PATH": path}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=where, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def laid(pod: Pod, where: Path) -> None:
    """Create the three things that the document asks for, at the paths that it gives."""
    for name in ("config.yaml", "external_id", "exports"):
        shutil.copytree(pod.home / name, where / name) if name == "exports" else shutil.copy2(pod.home / name, where)
    (where / "exports").chmod(0o755)
    (where / "exports/a").write_bytes(b"as the document has it")


def cleared(*names: str) -> None:
    for name in names:
        subprocess.run([PODMAN, "rm", "--force", "--time", "2", name], capture_output=True, check=False)
    for name in ("crosshaul-state", "deploy_state"):
        subprocess.run([PODMAN, "volume", "rm", "--force", name], capture_output=True, check=False)


def test_a_container_built_and_run_as_documented_delivers(pod, account, clone):
    """`podman build`, `podman run` and `podman exec ... wait` deliver the file."""
    laid(pod, clone)
    cleared("crosshaul")
    try:
        do(block("docs/OPERATIONS.md", "container"), clone, pod)
        assert account.read("a") == b"as the document has it"
    finally:
        cleared("crosshaul")


def test_compose_run_as_documented_delivers(pod, account, clone):
    """The shipped compose file, with three things beside it, delivers the file, and `down` drains."""
    laid(pod, clone / "deploy")
    cleared("deploy_crosshaul_1")
    try:
        do(block("docs/OPERATIONS.md", "compose"), clone, pod)
        assert account.read("a") == b"as the document has it"
        do("podman-compose -f deploy/compose.yaml down --volumes", clone, pod)
    finally:
        cleared("deploy_crosshaul_1")


def test_the_compose_file_confines_it(pod, account, clone):
    """The container that compose makes has a read-only root, no capability and no new privileges."""
    laid(pod, clone / "deploy")
    cleared("deploy_crosshaul_1")
    try:
        do("podman-compose -f deploy/compose.yaml up --detach", clone, pod)
        output = subprocess.run([PODMAN, "inspect", "deploy_crosshaul_1"], capture_output=True, text=True, check=True)
        (container,) = json.loads(output.stdout)
        assert container["HostConfig"]["ReadonlyRootfs"] is True
        assert "no-new-privileges" in str(container["HostConfig"]["SecurityOpt"])
        assert not container["EffectiveCaps"]
    finally:
        cleared("deploy_crosshaul_1")
