"""The commands of docs/OPERATIONS.md for a person's own machine, run as written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess

import pytest

from support.documents import REPOSITORY, block
from support.partner_fixtures import partner_process
from support.system_fixtures import until

pytestmark = pytest.mark.host


@pytest.fixture
def account(tmp_path):
    with partner_process(spool=tmp_path / "spool") as process:
        yield process


@pytest.fixture
def clone(tmp_path, account):
    """Make a fresh clone with a configuration in it."""
    made = tmp_path / "clone"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0"):
        if name:
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, made / name)
    config = {
        "state_dir": str(tmp_path / "state"),
        "identity": {"sts_endpoint_url": account.sts_endpoint_url},
        "destinations": {
            "partner": {
                "bucket": account.bucket,
                "endpoint_url": account.endpoint_url,
                "role_arn": account.role_arn,
                "external_id": account.external_id,
            }
        },
        "routes": [{"name": "documents", "path": str(tmp_path / "documents"), "destination": "partner"}],
        "http": None,
    }
    (made / "config.yaml").write_text(json.dumps(config))
    (tmp_path / "documents").mkdir()
    return made


def test_installed_by_pipx_it_backs_up_until_ctrl_c(clone, account, tmp_path):
    """After `pipx install .`, `crosshaul run` delivers, Ctrl-C drains, and `man` finds the page."""
    home, tools = tmp_path / "home", os.environ["CROSSHAUL_PIPX"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PIPX_", "VIRTUAL_ENV"))}
    environment = clean | {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(home / ".local/bin"), tools, "/usr/local/bin:/usr/bin:/bin"]),
        "AWS_ACCESS_KEY_ID": account.access_key_id,
        "AWS_SECRET_ACCESS_KEY": account.secret_access_key,
    }
    home.mkdir()
    log = tmp_path / "log"
    with log.open("wb") as out:
        script = block("docs/OPERATIONS.md", "by-hand")
        shell = subprocess.Popen(
            ["bash", "-euc", script], cwd=clone, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        until(lambda: '"started"' in log.read_text() or shell.poll() is not None, 300)
        (tmp_path / "documents/letter").write_bytes(b"dear diary")
        until(lambda: "letter" in account.objects() or shell.poll() is not None)
        assert account.read("letter") == b"dear diary", log.read_text()
        os.killpg(shell.pid, signal.SIGINT)
        assert shell.wait(timeout=60) == 0, log.read_text()
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    assert (home / ".local/share/man/man1/crosshaul.1").exists()
