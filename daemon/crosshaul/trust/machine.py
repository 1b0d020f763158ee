"""This machine's part of a check: can the directories be read, and the journal be kept? All of it blocks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from crosshaul.config import Route
from crosshaul.delivery.after_upload.unseen_writers import RULE, foreseen
from crosshaul.errors import StateDirError
from crosshaul.journal.state_dir import adopt
from crosshaul.trust.findings import Advice, Finding, Outcome, Party

_LEAST_FREE = 256 * 1024 * 1024
_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")
_FEW_WATCHES = 65_536


def look(state_dir: Path, routes: Iterable[Route]) -> list[Finding]:
    """What stands in the way of watching ``routes`` and of the journal in ``state_dir``."""
    routes = list(routes)
    return [*map(_directory, routes), *_writers(routes), *_watches(), _state(state_dir)]


def _directory(route: Route) -> Finding:
    try:
        with os.scandir(route.path) as entries:
            next(iter(entries), None)
    except OSError as error:
        told = f"route {route.name}: {route.path} can't be read: {error.strerror}"
        do = f"Make {route.path}, or let the daemon's user read it."
        return Finding("machine", Outcome.BAD, told, advice=Advice("watched directory", Party.HOST, do))
    if route.after_upload.action != "keep" and not os.access(route.path, os.W_OK):
        told = f"route {route.name}: {route.path} can't be written to, and delivered files are to leave it"
        do = f"Let the daemon's user write to {route.path}, or set `after_upload: keep`."
        return Finding("machine", Outcome.BAD, told, advice=Advice("watched directory", Party.HOST, do))
    return Finding("machine", Outcome.GOOD, f"route {route.name}: {route.path} can be read")


def _writers(routes: Iterable[Route]) -> Iterator[Finding]:
    """Where sources are to go, and some programs that write to them won't be seen."""
    for route in routes:
        if route.after_upload.action != "keep":
            hint = foreseen(route.path, with_mounts=route.cross_filesystems)
            if hint is not None:
                yield Finding("machine", Outcome.NOTE, f"route {route.name}: {hint}; {RULE}")


def _watches() -> Iterator[Finding]:
    try:
        limit = int(_LIMIT.read_text("ascii"))
    except (OSError, ValueError):
        return
    if limit < _FEW_WATCHES:
        told = f"fs.inotify.max_user_watches is {limit:,}: a directory takes one; beyond that only scans find files"
        yield Finding("machine", Outcome.NOTE, told, facts={"max_user_watches": limit})


def _state(state_dir: Path) -> Finding:
    """Whether a daemon could keep its journal there: one that is there is closed to others, as a daemon would do."""
    try:
        if state_dir.exists():
            adopt(state_dir)
    except StateDirError as error:
        # As root one looks at what is the service's: that is no fault, as long as the daemon doesn't run as root.
        verdict = Outcome.NOTE if os.geteuid() == 0 and state_dir.stat().st_uid != 0 else Outcome.BAD
        what, _, do = str(error).partition(": ")
        return Finding("machine", verdict, what, advice=Advice("state_dir", Party.HOST, f"{do[:1].upper()}{do[1:]}"))
    there = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        told = f"state_dir {state_dir} can't be written to"
        do = f"Make {state_dir} for the daemon's user, with mode 0700."
        return Finding("machine", Outcome.BAD, told, advice=Advice("state_dir", Party.HOST, do))
    free = shutil.disk_usage(there).free
    facts = {"free_bytes": free}
    if free < _LEAST_FREE:
        return Finding("machine", Outcome.NOTE, f"state_dir {state_dir} has {free / 1e6:,.0f} MB left", facts=facts)
    return Finding("machine", Outcome.GOOD, f"state_dir {state_dir} can be written to", facts=facts)
