"""Marker files, such as ``report.csv.done``: their names, and whether one is valid for a file. Pure.

Users choose file names, so a name is matched in time linear in its length: a regular expression with several fields
would try all ways to divide a long name among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from string import Formatter

from crosshaul.model import Fingerprint, Recorded, SettleReason, Sighting

Offsets = Collection[int]
"""Offsets in a path at which the part of the template matched so far can end."""


class Marker:
    """The template of a route's marker files, such as ``{path}.done``."""

    def __init__(self, template: str) -> None:
        parsed = Formatter().parse(template)
        self._pieces = [(literal.encode("utf-8", "surrogateescape"), field) for literal, field, _, _ in parsed]
        last, field = self._pieces[-1]
        self._ending = b"" if field else last.removeprefix(b"/")

    def of(self, path: bytes) -> bytes:
        """Return the path of the marker of the file at ``path``; both relative to the root."""
        folder, _, name = path.rpartition(b"/")
        stem, dot, suffix = name.rpartition(b".")
        if not stem:
            stem, dot, suffix = name, b"", b""
        values = {"path": path, "dir": folder, "name": name, "stem": stem, "suffix": dot + suffix, None: b""}
        return _below(b"".join(literal + values[field] for literal, field in self._pieces))

    def is_marker(self, path: bytes) -> bool:
        """Return whether a file of this name is a marker, even if the file it marks does not exist."""
        if not path.endswith(self._ending):
            return False
        offsets: Offsets = (0,)
        after_dir = False
        for literal, field in self._pieces:
            if after_dir:
                # An empty {dir} removes the slash after it.
                offsets = _past_dir(path, offsets) if literal.startswith(b"/") else _anywhere_after(path, offsets)
            offsets = _past_literal(path, offsets, literal.removeprefix(b"/") if after_dir else literal)
            after_dir = field == "dir"
            if field and not after_dir:
                offsets = _past_field(path, offsets, field)
        return bool(offsets) if after_dir else len(path) in offsets


def _below(path: bytes) -> bytes:
    return b"/".join(part for part in path.split(b"/") if part)


def _past_literal(path: bytes, offsets: Offsets, literal: bytes) -> Offsets:
    return {offset + len(literal) for offset in offsets if path.startswith(literal, offset)} if literal else offsets


def _anywhere_after(path: bytes, offsets: Offsets) -> Offsets:
    return range(min(offsets, default=len(path) + 1), len(path) + 1)


def _past_dir(path: bytes, offsets: Offsets) -> Offsets:
    """Match nothing, or a directory and the slash after it."""
    first = min(offsets, default=len(path)) + 1
    return {*offsets, *(offset + 1 for offset in range(first, len(path)) if path[offset] == _SLASH)}


def _past_field(path: bytes, offsets: Offsets, field: str) -> Offsets:
    """Match one byte or more of a name or, for ``path``, of a path; a ``suffix`` may be empty."""
    if field == "path":
        return range(min(offsets, default=len(path)) + 1, len(path) + 1)
    reached: set[int] = set(offsets) if field == "suffix" else set()
    inside = False
    for offset in range(len(path)):
        inside = (inside or offset in offsets) and path[offset] != _SLASH
        if inside:
            reached.add(offset + 1)
    return reached


_SLASH = ord("/")


def counts(marker: Fingerprint, file: Fingerprint) -> bool:
    """Return whether a marker is valid for this state of the file by its time stamps alone: it is not older."""
    return marker.ctime_ns >= file.ctime_ns


def marked(
    sightings: Iterable[Sighting], markers: Mapping[bytes, Fingerprint], recorded: Mapping[bytes, Recorded]
) -> set[bytes]:
    """Return the paths of the files whose markers are valid, or were valid for the same content.

    ``markers`` holds the state of each existing marker, ``recorded`` the journal's records, both by the file's path.
    """
    return {
        sighting.path
        for sighting in sightings
        if _is_marked(sighting.fingerprint, markers.get(sighting.path), recorded.get(sighting.path))
    }


def _is_marked(file: Fingerprint, marker: Fingerprint | None, record: Recorded | None) -> bool:
    same = record is not None and _same_content(record.fingerprint, file)
    if record is not None and same and record.settled_by is SettleReason.MARKER:
        return True
    if marker is None:
        return False
    if counts(marker, file):
        return True
    # Owner, mode or the number of links changed after the marker was made. The content is older than the marker, and
    # no other content of this name was ever queued, so the marker can only mean this content.
    if record is None or same:
        return marker.ctime_ns >= file.mtime_ns
    # Another content was queued before. The marker is new if it was written after this content, and this content was
    # written here after the other one: an mtime that was copied (cp -p) proves nothing.
    return marker.mtime_ns >= file.mtime_ns > record.fingerprint.ctime_ns


def _same_content(one: Fingerprint, other: Fingerprint) -> bool:
    return (one.size, one.mtime_ns, one.inode) == (other.size, other.mtime_ns, other.inode)
