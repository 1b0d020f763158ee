"""Read code, message, request id and region from an S3 error document, tolerating any other bytes.

A truncated document yields the elements that it contains, other content none. No content raises, recurses or expands:
the body may come from the partner's store or from a proxy.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from xml.parsers import expat

_MAX_BYTES = 64 * 1024
"""A real document has some hundreds."""
_WANTED = frozenset({"Code", "Message", "RequestId", "Region"})
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})
_CONTROL_REFERENCES = re.compile(rb"&#(?:x0*(?:[0-8bcef]|1[0-9a-f])|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]));", re.IGNORECASE)
_AUTO_DETECT_HEADER = 47
"""zlib's wbits for gzip or deflate."""


def elements(body: bytes) -> dict[str, str]:
    """Return the first ``Code``, ``Message``, ``RequestId`` and ``Region`` of an ``<Error>``, as far as present."""
    reader = _Reader()
    try:
        reader.parser.Parse(body[:_MAX_BYTES], True)  # noqa: FBT003 - expat's own flag for "this is all"
    except (expat.ExpatError, _NotAnErrorDocument):
        return reader.elements
    return reader.elements


def unzipped(headers: Mapping[str, str], body: bytes, most: int = _MAX_BYTES) -> bytes:
    """Return the body decompressed, at most ``most`` bytes: some proxies compress without being asked to."""
    if headers.get("content-encoding", "").strip().lower() not in _COMPRESSED:
        return body
    try:
        return zlib.decompressobj(_AUTO_DETECT_HEADER).decompress(body, most)
    except zlib.error:
        return body


def legible(body: bytes) -> bytes:
    """Replace references to control characters, which S3 writes for keys and no parser accepts, by ``?``."""
    return _CONTROL_REFERENCES.sub(b"?", body)


class _NotAnErrorDocument(Exception):
    """The document has a document type: no S3 error has one, and every entity bomb needs one."""


class _Reader:
    """Collects elements with a stack of names, without recursion."""

    def __init__(self) -> None:
        self.elements: dict[str, str] = {}
        self._open: list[str] = []
        self._text: list[str] = []
        self.parser = expat.ParserCreate("utf-8")  # else the document may choose any of Python's codecs
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
            self.elements.setdefault(name, "".join(self._text).strip())
        self._text.clear()
