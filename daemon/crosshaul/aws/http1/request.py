"""HTTP request in wire format: the head in one piece, the body in slices without copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from crosshaul.aws.http1.types import Body
from crosshaul.integrity.streamed_body import BodySlice, StreamedBody

JOINED_BYTES = 64 * 1024
"""Largest request whose head and body are one write."""
SLICE_BYTES = 256 * 1024
"""Size of one write of a larger body."""
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
# RFC 9110, section 9.3, defines no body for these methods: no content-length is sent for an empty one.
_BODILESS = frozenset({"GET", "HEAD", "DELETE"})


class Request:
    """One request; can be sent more than once."""

    __slots__ = ("_body", "_head", "head_only", "idempotent", "size")

    def __init__(
        self, method: str, target: str, authority: str, headers: Sequence[tuple[str, str]], body: Body
    ) -> None:
        """Raise ValueError for a header or target with a line break, or a wrong content-length."""
        view = body if isinstance(body, bytes | StreamedBody) else memoryview(body).cast("B")
        self._head = _head(method, target, authority, headers, len(view))
        self._body = view
        self.size = len(self._head) + len(view)
        self.head_only = method == "HEAD"
        self.idempotent = method in _IDEMPOTENT

    def whole(self) -> bytes:
        """Return head and body of a small request in one."""
        return self._head if isinstance(self._body, StreamedBody) else b"".join((self._head, self._body))

    def first_size(self, most: int) -> int:
        """Return the size in bytes of the first piece, at most ``most``."""
        return min(most, self.size if self.size <= JOINED_BYTES else len(self._head))

    def pieces(self, most: Callable[[], int]) -> Iterator[memoryview | BodySlice]:
        """Yield the pieces to write, of at most ``most()`` bytes each; a small request is one piece."""
        whole: Sequence[bytes | memoryview | StreamedBody] = (self._head, self._body)
        for part in whole if self.size > JOINED_BYTES else (self.whole(),):
            view, start = part if isinstance(part, StreamedBody) else memoryview(part), 0
            while start < len(view):
                end = start + most()
                yield view.slice(start, end) if isinstance(view, StreamedBody) else view[start:end]
                start = end


def _head(method: str, target: str, authority: str, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    names = dict(headers)
    if names and not "".join(names).islower():
        raise ValueError("header names have to be lower-case")
    if "transfer-encoding" in names:
        raise ValueError("transfer-encoding is not supported: a body is sent with its length")
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"host: {authority}")
    if "content-length" not in names:
        if length or method not in _BODILESS:
            lines.append(f"content-length: {length}")
    elif names["content-length"] != str(length):
        raise ValueError(f"content-length says {names['content-length']}, but the body has {length} bytes")
    lines += [f"{name}: {value}" for name, value in headers]
    head = "\r\n".join(lines)
    if head.count("\n") >= len(lines) or head.count("\r") >= len(lines) or "\0" in head or target.count(" "):
        _raise_invalid(method, target, headers)
    return f"{head}\r\n\r\n".encode()


def _raise_invalid(method: str, target: str, headers: Sequence[tuple[str, str]]) -> None:
    # The value stays out of the message: it may be a secret.
    for name, value in headers:
        if any(mark in f"{name}{value}" for mark in "\r\n\0"):
            raise ValueError(f"header {name!r} contains a line break or a NUL character")
    raise ValueError(f"invalid request line: {method!r} {target!r}")
