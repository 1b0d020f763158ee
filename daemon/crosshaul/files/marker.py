"""Pure: the files that say that another is finished, such as ``report.csv.done``, and which of them count.

Whoever may write files gives them their names, so a name is matched in time linear to its length: a regular expression
with several fields would try all ways to share out a long name among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from string import Formatter

from crosshaul.model import Fingerprint, Recorded, SettleReason, Sighting

Places = Collection[int]
"""Offsets in a path up to which the template can have been filled in so far."""


class Marker:
    """The name of the file that says that another is finished, such as ``{path}.done``."""

    def __init__(self, template: str) -> None:
        parsed = Formatter().parse(template)
        self._pieces = [(literal.encode("utf-8", "surrogateescape"), field) for literal, field, _, _ in parsed]
        last, field = self._pieces[-1]
        self._ending = b"" if field else last.removeprefix(b"/")

    def of(self, path: bytes) -> bytes:
        """The marker of the file at ``path``; both relative to the root."""
        folder, _, name = path.rpartition(b"/")
        stem, dot, suffix = name.rpartition(b".")
        if not stem:
            stem, dot, suffix = name, b"", b""
        values = {"path": path, "dir": folder, "name": name, "stem": stem, "suffix": dot + suffix, None: b""}
        return _below(b"".join(literal + values[field] for literal, field in self._pieces))

    def is_marker(self, path: bytes) -> bool:
        """Whether a file of this name is a marker, whether or not what it speaks of is there."""
        if not path.endswith(self._ending):
            return False
        places: Places = (0,)
        after_dir = False
        for literal, field in self._pieces:
            if after_dir:
                # An empty {dir} takes the slash after it along.
                slash = literal.startswith(b"/")
                places = _past_dir(path, places) if slash else range(min(places, default=len(path) + 1), len(path) + 1)
            places = _past_literal(path, places, literal.removeprefix(b"/") if after_dir else literal)
            after_dir = field == "dir"
            if field and not after_dir:
                places = _past_field(path, places, field)
        return bool(places) if after_dir else len(path) in places


def _below(path: bytes) -> bytes:
    return b"/".join(part for part in path.split(b"/") if part)


def _past_literal(path: bytes, places: Places, literal: bytes) -> Places:
    return {place + len(literal) for place in places if path.startswith(literal, place)} if literal else places


def _past_dir(path: bytes, places: Places) -> Places:
    """Nothing at all, or a directory and the slash after it."""
    first = min(places, default=len(path)) + 1
    return {*places, *(place + 1 for place in range(first, len(path)) if path[place] == _SLASH)}


def _past_field(path: bytes, places: Places, field: str) -> Places:
    """One byte or more of a name or, for ``path``, of a path; a ``suffix`` may be empty."""
    if field == "path":
        return range(min(places, default=len(path)) + 1, len(path) + 1)
    reached: set[int] = set(places) if field == "suffix" else set()
    inside = False
    for place in range(len(path)):
        inside = (inside or place in places) and path[place] != _SLASH
        if inside:
            reached.add(place + 1)
    return reached


_SLASH = ord("/")


def counts(marker: Fingerprint, file: Fingerprint) -> bool:
    """Whether a marker speaks of this state of the file by its time stamps alone: it is not older."""
    return marker.ctime_ns >= file.ctime_ns


def marked(
    sightings: Iterable[Sighting], markers: Mapping[bytes, Fingerprint], recorded: Mapping[bytes, Recorded]
) -> set[bytes]:
    """The paths of the files whose markers count, or have counted for the same content.

    ``markers`` has the state of each file's marker that is there, ``recorded`` what the journal has of the files.
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
    # no other content of this name was ever taken: there is nothing else that the marker can speak of.
    if record is None or same:
        return marker.ctime_ns >= file.mtime_ns
    # Another content was taken before. The marker is a new one if it was written after this content, and this content
    # was written here, after the other: an mtime that was brought along from elsewhere (cp -p) says nothing.
    return marker.mtime_ns >= file.mtime_ns > record.fingerprint.ctime_ns


def _same_content(one: Fingerprint, other: Fingerprint) -> bool:
    return (one.size, one.mtime_ns, one.inode) == (other.size, other.mtime_ns, other.inode)
