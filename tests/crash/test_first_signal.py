"""Signals that arrive before the daemon has started: as PID 1 of a container, and from a closed terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from support.system_fixtures import Daemon, until

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"]


def works() -> bool:
    return shutil.which("unshare") is not None and not subprocess.run([*UNSHARE, "true"], check=False).returncode


def first_process(outer: int) -> int | None:
    """Return the child of unshare, which is PID 1 of its own namespace; None while there is none."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path(f"/proc/{outer}/task/{outer}/children").read_text())
    return None


def takes(pid: int | None, number: int) -> bool:
    """True if the process has a handler for the signal."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) & 1 << (number - 1))
    return False


@pytest.mark.skipif(not works(), reason="a process namespace of its own needs root")
def test_the_first_process_of_a_container_ends_while_it_loads(strict, site_for):
    """SIGTERM to PID 1 long before the daemon has started ends it at once with 143, without a SIGKILL."""
    site = site_for(strict)
    began = time.monotonic()
    with subprocess.Popen([*UNSHARE, *site._command("run")], stderr=subprocess.DEVNULL, env=site._env()) as outer:
        try:
            while not takes(inner := first_process(outer.pid), signal.SIGTERM):
                assert time.monotonic() - began < 60
            assert not (site.state_dir / "lock").exists()
            os.kill(inner or -1, signal.SIGTERM)
            assert outer.wait(timeout=30) == 143
        finally:
            outer.kill()
    assert not site.state_dir.exists()


@pytest.mark.parametrize("closed", [True, False])
def test_a_terminal_that_closes_ends_what_runs_in_it(strict, site_for, closed: bool):
    """SIGHUP from a closed terminal drains and ends; any other SIGHUP reloads, on a terminal too."""
    site = site_for(strict)
    shell, terminal = pty.openpty()
    log = site.home / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            site._command("run"),
            stdin=terminal,
            stderr=stderr,
            env=site._env(),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no thread runs here
        )
    os.close(terminal)
    try:
        daemon = Daemon(process, log)
        until(lambda: daemon.events("started"))
        if closed:
            os.close(shell)
            assert daemon.wait() == 0
            assert not daemon.events("reloaded")
        else:
            process.send_signal(signal.SIGHUP)
            until(lambda: daemon.events("reloaded"))
            assert daemon.stop() == 0
    finally:
        process.kill()
        process.wait()
