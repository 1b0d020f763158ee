"""File system types of a directory, by the mount table (proc(5), /proc/pid/mountinfo)."""

from __future__ import annotations

import re

_OCTAL = re.compile(rb"\\([0-7]{3})")


def types_at(top: bytes, table: bytes) -> tuple[str, frozenset[str]]:
    """Return the type of the file system that holds ``top``, and the types mounted below it."""
    top = top.rstrip(b"/") + b"/"
    holder, longest = "", 0
    below: set[str] = set()
    for line in table.splitlines():
        mount, _, source = line.partition(b" - ")
        point = _OCTAL.sub(lambda code: bytes([int(code[1], 8)]), mount.split(b" ")[4]).rstrip(b"/") + b"/"
        kind = source.split(b" ")[0].decode(errors="replace")
        if point.startswith(top) and point != top:
            below.add(kind)
        # Of several mounts at one point the last one hides the others.
        elif top.startswith(point) and len(point) >= longest:
            holder, longest = kind, len(point)
    return holder, frozenset(below)
