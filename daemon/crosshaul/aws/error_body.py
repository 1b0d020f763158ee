"""The few elements of an S3 error document that matter, out of whatever bytes came instead of one.

Half a document gives what it has, HTML and other things give nothing, and nothing makes it raise, nest or expand:
what stands at the other end is the partner's, or somebody's proxy.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from xml.parsers import expat

_MOST = 64 * 1024
"""Bytes read; a real one has some hundreds."""
_WANTED = frozenset({"Code", "Message", "RequestId", "Region"})
_ZIPPED = frozenset({"gzip", "x-gzip", "deflate"})
_UNREADABLE = re.compile(rb"&#(?:x0*(?:[0-8bcef]|1[0-9a-f])|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]));", re.IGNORECASE)
_ANY_ZLIB_HEADER = 47
"""zlib's number for "gzip or deflate, whichever it is"."""


def elements(body: bytes) -> dict[str, str]:
    """The first ``Code``, ``Message``, ``RequestId`` and ``Region`` of an ``<Error>``, those that there are."""
    reader = _Reader()
    try:
        reader.parser.Parse(body[:_MOST], True)  # noqa: FBT003 - expat's own flag for "this is all"
    except (expat.ExpatError, _NotAnErrorDocument):
        return reader.found
    return reader.found


def unzipped(headers: Mapping[str, str], body: bytes, most: int = _MOST) -> bytes:
    """The body as it was before a proxy packed it, though nobody asked it to; at most ``most`` bytes of it."""
    if headers.get("content-encoding", "").strip().lower() not in _ZIPPED:
        return body
    try:
        return zlib.decompressobj(_ANY_ZLIB_HEADER).decompress(body, most)
    except zlib.error:
        return body


def legible(body: bytes) -> bytes:
    """The body with ``?`` for the control characters in a key that S3 writes as references, which no parser takes."""
    return _UNREADABLE.sub(b"?", body)


class _NotAnErrorDocument(Exception):
    """It has a document type, which no S3 error has and every entity bomb needs."""


class _Reader:
    """Follows the parser with a stack of names: no recursion, however deep the document."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._open: list[str] = []
        self._text: list[str] = []
        self.parser = expat.ParserCreate("utf-8")  # or a document would choose among all of Python's codecs
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text

    def doctype(self, *_: object) -> None:
        raise _NotAnErrorDocument

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._open.append(name.rpartition(":")[2])
        self._text.clear()

    def text(self, data: str) -> None:
        self._text.append(data)

    def end(self, _name: str) -> None:
        name = self._open.pop()
        # STS puts its request id beside the error.
        if name in _WANTED and self._open[-1:] in (["Error"], ["ErrorResponse"]):
            self.found.setdefault(name, "".join(self._text).strip())
        self._text.clear()
