"""Answers out of the bytes of one connection: the only user of httptools."""

from __future__ import annotations

from functools import lru_cache

import httptools

from crosshaul.aws.http1.types import Response, TransportError

_FINAL = 200
"""The lowest status that is not interim."""
_ERROR = 300
"""The lowest status that speaks for itself: what an error's body says more is a help, but not needed."""


class ResponseReader:
    """Reads one answer after the other; ``begin`` before each. The parser calls the ``on_...`` methods."""

    def __init__(self, max_head: int, max_body: int) -> None:
        self._max_head = max_head
        self._max_body = max_body
        self._parser = httptools.HttpResponseParser(self)
        self.begin(head_only=False)

    def begin(self, *, head_only: bool) -> None:
        """Expect an answer; to a HEAD request it has no body, whatever its headers say."""
        self._head_only = head_only
        self._headers: dict[str, str] = {}
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._head_size = 0
        self._body_size = 0
        self.raw_size = 0
        """Bytes that came."""
        self._status = 0
        self.has_status = False
        """The head of the final answer is here."""
        self.done = False
        self.keeps_alive = False
        """The connection may carry another request; only meant once ``done``."""

    @property
    def started(self) -> bool:
        """Whether any byte came."""
        return self.raw_size > 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they come. Raises WireError (ProtocolError, ResponseTooLarge)."""
        self.raw_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.done:
                raise TransportError("ProtocolError", f"the response is not HTTP/1.1: {error}") from error
            self.keeps_alive = False
        self._check_size()

    def finish(self) -> bool:
        """Take the end of the stream; tell whether it was the end of an answer that is as long as its connection."""
        chunked = "chunked" in self._headers.get("transfer-encoding", "").lower()
        if self.has_status and "content-length" not in self._headers and not chunked:
            self.done = True
        return self.done

    def answer(self) -> Response:
        """Return the answer, once ``done``."""
        return Response(self._status, self._headers, b"".join(self._body))

    def _check_size(self) -> None:
        if self._head_size > self._max_head or (not self.has_status and self.raw_size > self._max_head):
            raise TransportError("ResponseTooLarge", f"the head of the response exceeds {self._max_head:,} bytes")
        # The bytes as they came are bounded, too: chunks have headers and trailers, which the parser gathers.
        if self._body_size > self._max_body or self.raw_size > self._max_head + 2 * self._max_body:
            if self._status < _ERROR:
                raise TransportError("ResponseTooLarge", f"the body of the response exceeds {self._max_body:,} bytes")
            self.done, self.keeps_alive = True, False  # the rest of it is not waited for

    def on_message_begin(self) -> None:
        """Start with a status line; one after the answer was not asked for."""
        if self.done:
            self.keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers only count."""
        self._head_size += len(name) + len(value)
        if not self.has_status and self._head_size <= self._max_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Tell interim answers from the final one."""
        if self.done:
            return
        self._status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        if self._status < _FINAL:
            return
        self._headers = _gathered(fields)
        self.has_status = True
        if self._head_only:
            self.keeps_alive = self._parser.should_keep_alive()
            # llhttp can't be told that no body follows, and would wait for it.
            self._parser = httptools.HttpResponseParser(self)
            self.done = True

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body, within bounds."""
        self._body_size += len(data)
        if not self.done and self._body_size <= self._max_body:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """Finish the answer, unless it was an interim one."""
        if self.has_status and not self.done:
            self.keeps_alive = self._parser.should_keep_alive()
            self.done = True


@lru_cache(256)
def _name(field: bytes) -> str:
    return field.decode("latin-1").lower()


def _gathered(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case names, and values; those of one name are joined."""
    headers: dict[str, str] = {}
    for name, value in fields:
        key, text = _name(name), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
