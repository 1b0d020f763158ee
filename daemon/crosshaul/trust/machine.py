"""Check this machine: watched directories, inotify limit and state_dir. All functions block."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from crosshaul.config import Route
from crosshaul.delivery.after_upload.writer_visibility import RULE, invisible_writers
from crosshaul.errors import StateDirError
from crosshaul.journal.state_dir import adopt
from crosshaul.trust.findings import Advice, Finding, Outcome, Party

_MIN_FREE_BYTES = 256 * 1024 * 1024
_WATCHES_FILE = Path("/proc/sys/fs/inotify/max_user_watches")
_MIN_WATCHES = 65_536


def check_machine(state_dir: Path, routes: Iterable[Route]) -> list[Finding]:
    """Check that ``routes`` can be watched and that the journal can be written in ``state_dir``."""
    routes = list(routes)
    return [*map(_directory, routes), *_unseen_writers(routes), *_watches(), _state(state_dir)]


def _directory(route: Route) -> Finding:
    try:
        with os.scandir(route.path) as entries:
            next(iter(entries), None)
    except OSError as error:
        message = f"route {route.name}: {route.path} cannot be read: {error.strerror}"
        action = f"Create {route.path}, or allow the daemon's user to read it."
        return Finding("machine", Outcome.FAIL, message, advice=Advice("watched directory", Party.HOST, action))
    if route.after_upload.action != "keep" and not os.access(route.path, os.W_OK):
        message = f"route {route.name}: {route.path} cannot be written, but `after_upload` removes files from it"
        action = f"Allow the daemon's user to write {route.path}, or set `after_upload: keep`."
        return Finding("machine", Outcome.FAIL, message, advice=Advice("watched directory", Party.HOST, action))
    return Finding("machine", Outcome.PASS, f"route {route.name}: {route.path} can be read")


def _unseen_writers(routes: Iterable[Route]) -> Iterator[Finding]:
    """Warn of routes that remove files and cannot detect all programs that write to them."""
    for route in routes:
        if route.after_upload.action != "keep":
            hint = invisible_writers(route.path, with_mounts=route.cross_filesystems)
            if hint is not None:
                yield Finding("machine", Outcome.WARN, f"route {route.name}: {hint}; {RULE}")


def _watches() -> Iterator[Finding]:
    try:
        limit = int(_WATCHES_FILE.read_text("ascii"))
    except (OSError, ValueError):
        return
    if limit < _MIN_WATCHES:
        message = (
            f"fs.inotify.max_user_watches allows {limit:,} directories; files in further ones are found by scans only"
        )
        yield Finding("machine", Outcome.WARN, message, details={"max_user_watches": limit})


def _state(state_dir: Path) -> Finding:
    """Check that a daemon could use the directory; an existing one is closed to other users, as a daemon does."""
    try:
        if state_dir.exists():
            adopt(state_dir)
    except StateDirError as error:
        # root may run the check for a service of another user. That is only wrong when the daemon runs as root.
        outcome = Outcome.WARN if os.geteuid() == 0 and state_dir.stat().st_uid != 0 else Outcome.FAIL
        problem, _, action = str(error).partition(": ")
        return Finding(
            "machine", outcome, problem, advice=Advice("state_dir", Party.HOST, f"{action[:1].upper()}{action[1:]}")
        )
    existing = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        message = f"state_dir {state_dir} cannot be written"
        action = f"Create {state_dir} for the daemon's user, with mode 0700."
        return Finding("machine", Outcome.FAIL, message, advice=Advice("state_dir", Party.HOST, action))
    free = shutil.disk_usage(existing).free
    details = {"free_bytes": free}
    if free < _MIN_FREE_BYTES:
        return Finding(
            "machine", Outcome.WARN, f"state_dir {state_dir} has only {free / 1e6:,.0f} MB free", details=details
        )
    return Finding("machine", Outcome.PASS, f"state_dir {state_dir} can be written", details=details)
