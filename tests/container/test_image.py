"""The image as the Containerfile makes it, under a real container runtime."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from support.containers import IMAGE, USER, run
from support.system_fixtures import until

pytestmark = pytest.mark.container


def test_a_file_is_delivered_and_sigterm_ends_it(pod, account):
    """As PID 1, without rights, on a read-only root, the daemon delivers, is healthy, and exits with 0 at SIGTERM."""
    with pod.running() as process:
        until(lambda: "credentials_renewed" in pod.log())
        pod.put("a", b"from a container")
        until(lambda: "a" in account.objects())
        assert account.read("a") == b"from a container"
        healthy = pod.inside("crosshaul", "status", "--healthy", "--max-age", "15m")
        assert healthy.returncode == 0, healthy
        assert pod.inside("crosshaul", "status", "--live").returncode == 0
        lines = Path(f"/proc/{pod.pid()}/status").read_text().splitlines()
        output = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert output["Uid"].split()[0] == str(USER)
        assert output["NSpid"].split()[-1] == "1"
        assert (output["CapEff"].strip("0"), output["NoNewPrivs"]) == ("", "1")
        os.kill(pod.pid(), signal.SIGTERM)
        assert process.wait(timeout=60) == 0, pod.log()
    assert account.external_id not in pod.log()


def test_it_drains_at_sigterm_and_continues_with_its_state(pod, account):
    """A file in flight at SIGTERM arrives before the container ends, and the next one knows what was delivered."""
    pod.configure(transfer={"multipart_threshold": "5MiB", "part_size": "5MiB", "memory_limit": "5MiB"})
    account.fault("delay", "UploadPart", rule={"times": None}, seconds=0.4)
    with pod.running() as process:
        until(lambda: "credentials_renewed" in pod.log())
        pod.put("large", bytes(20 << 20))
        until(lambda: account.calls("UploadPart"))
        os.kill(pod.pid(), signal.SIGTERM)
        assert process.wait(timeout=60) == 0, pod.log()
    assert len(account.read("large")) == 20 << 20
    with pod.running("push") as process:
        assert process.wait(timeout=60) == 0
    assert "delivered before" in pod.log()
    assert {each["writes"] for each in account.objects().values()} == {1}


def test_the_image_has_its_healthcheck_and_its_user():
    """The image has the health check that orchestrators run, and runs as its own user."""
    (image,) = json.loads(run("image", "inspect", IMAGE).stdout)
    assert image["Healthcheck"]["Test"] == ["CMD", "crosshaul", "status", "--live"]
    assert image["Config"]["User"] == f"{USER}:{USER}"


def test_the_healthcheck_says_no_without_a_daemon(pod):
    """In a container without a daemon the health check exits with 1 and prints the reason."""
    with pod.running("status", "--live") as process:
        assert process.wait(timeout=60) == 1
    assert "No daemon answers" in pod.log()


def test_no_shell_is_needed(pod, account):
    """Without any shell in the image the daemon delivers, and the health check works."""
    shells = [part for shell in ("dash", "bash") for part in ("-v", f"/dev/null:/usr/bin/{shell}:ro")]
    with pod.running(options=shells):
        until(lambda: "credentials_renewed" in pod.log())
        pod.put("a", b"without a shell")
        until(lambda: "a" in account.objects())
        assert pod.inside("crosshaul", "status", "--healthy").returncode == 0


def test_the_configuration_may_come_from_the_environment(pod, account):
    """The configuration can come from CROSSHAUL_CONFIG_YAML, or from the file that CROSSHAUL_CONFIG names."""
    text = (pod.home / "config.yaml").read_text()
    (pod.home / "config.yaml").chmod(0o644)
    (pod.home / "config.yaml").write_text("nonsense: [")
    with pod.running("push", CROSSHAUL_CONFIG_YAML=text) as process:
        pod.put("a", b"x")
        assert process.wait(timeout=60) == 0, pod.log()
    (pod.home / "else.yaml").write_text(text)
    (pod.home / "else.yaml").chmod(0o444)
    elsewhere = ["-v", f"{pod.home / 'else.yaml'}:/somewhere/else.yaml:ro"]
    pod.put("b", b"x")
    with pod.running("push", options=elsewhere, CROSSHAUL_CONFIG="/somewhere/else.yaml") as process:
        assert process.wait(timeout=60) == 0, pod.log()
    assert "a" in account.objects()
    assert "b" in account.objects()


def test_a_fresh_volume_is_the_users():
    """A new named volume for the state belongs to the image's user only."""
    run("volume", "rm", "--force", "crosshaul-fresh")
    try:
        code = "import os; at = os.stat('/var/lib/crosshaul'); print(oct(at.st_mode), at.st_uid, at.st_gid)"
        volume = "crosshaul-fresh:/var/lib/crosshaul"
        output = run("run", "--rm", "-v", volume, "--entrypoint", "python3", IMAGE, "-c", code).stdout
        assert output == f"0o40700 {USER} {USER}\n"
    finally:
        run("volume", "rm", "--force", "crosshaul-fresh")
