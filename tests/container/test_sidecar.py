"""The sidecar of the manifest, stopped as a kubelet stops it: it delivers everything that the writer wrote."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
import yaml

from support.containers import IMAGE, PODMAN
from support.documents import REPOSITORY
from support.system_fixtures import until

pytestmark = pytest.mark.container
WRITER = """
import os, pathlib, signal, sys, time
exports = pathlib.Path("/exports")
def write(name, content):
    (exports / name).parent.mkdir(exist_ok=True)
    (exports / name).write_bytes(content)
def end(*_):
    time.sleep(2)  # a hook that ran when the termination began is over by now
    for number in range(200):
        write(f"last/{number}", b"last words")
    (exports / ".new").write_bytes(bytes(20 << 20))
    (exports / ".new").rename(exports / "renamed")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
for number in range(10**6):
    write(f"now/{number}", b"now")
    time.sleep(0.05)
"""


@pytest.fixture
def sidecar():
    """Start the container of the manifest; yield it and its configuration."""
    objects = {
        each["kind"]: each for each in yaml.safe_load_all((REPOSITORY / "deploy/kubernetes/sidecar.yaml").read_text())
    }
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    return container, yaml.safe_load(objects["ConfigMap"]["data"]["config.yaml"])


def test_what_the_writer_wrote_to_the_last_is_delivered(pod, account, sidecar, tmp_path):
    """After SIGTERM to the writer, which writes to its end, and to the sidecar, all is delivered and the code is 0."""
    container, config = sidecar
    pod.config["routes"][0]["settle"] = config["routes"][0]["settle"]
    pod.configure(routes=pod.config["routes"], shutdown_timeout=config["shutdown_timeout"])
    exports = pod.home / "exports"
    with pod.running(*container["args"]) as process:
        until(lambda: "credentials_renewed" in pod.log())
        pidfile = tmp_path / "writer.pid"
        writing = [PODMAN, "run", "--rm", "--pidfile", str(pidfile), "-v", f"{exports}:/exports"]
        writer = subprocess.Popen([*writing, "--entrypoint", "python3", IMAGE, "-u", "-c", WRITER])
        until(account.objects)
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
        assert writer.wait(timeout=60) == 0
        began = time.monotonic()
        os.kill(pod.pid(), signal.SIGTERM)
        assert process.wait(timeout=60) == 0, pod.log()
        assert time.monotonic() - began < 50
    there = {str(path.relative_to(exports)) for path in exports.rglob("*") if path.is_file()}
    assert len([name for name in there if name.startswith("last/")]) == 200
    assert set(account.objects()) == there
    assert len(account.read("renamed")) == 20 << 20


def test_probes_are_commands_of_the_image(pod, sidecar):
    """Each probe of the manifest succeeds in a running sidecar."""
    container, _ = sidecar
    with pod.running(*container["args"]):
        until(lambda: "credentials_renewed" in pod.log())
        for probe in ("startupProbe", "livenessProbe"):
            done = pod.inside(*container[probe]["exec"]["command"])
            assert done.returncode == 0, (probe, done)
