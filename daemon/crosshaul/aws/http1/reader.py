"""Parse the responses of one connection. The only user of httptools."""

from __future__ import annotations

from functools import lru_cache

import httptools

from crosshaul.aws.http1.types import Response, TransportError

_MIN_FINAL_STATUS = 200
_MIN_ERROR_STATUS = 300
"""From here on the status suffices: the rest of an oversized body is not needed."""


class ResponseReader:
    """Reads one response after the other; call ``begin`` before each. The parser calls the ``on_...`` methods."""

    def __init__(self, max_head: int, max_body: int) -> None:
        self._max_head = max_head
        self._max_body = max_body
        self._parser = httptools.HttpResponseParser(self)
        self.begin(head_only=False)

    def begin(self, *, head_only: bool) -> None:
        """Expect a response; ``head_only``: to a HEAD request, without a body whatever its headers say."""
        self._head_only = head_only
        self._headers: dict[str, str] = {}
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._head_size = 0
        self._body_size = 0
        self.raw_size = 0
        """Bytes received."""
        self._status = 0
        self.has_status = False
        """The head of the final response is complete."""
        self.done = False
        self.keep_alive = False
        """The connection may carry another request; valid once ``done``."""

    @property
    def started(self) -> bool:
        """At least one byte was received."""
        return self.raw_size > 0

    def feed(self, data: bytes) -> None:
        """Parse received bytes. Raises TransportError (ProtocolError, ResponseTooLarge)."""
        self.raw_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.done:
                raise TransportError("ProtocolError", f"the response is not HTTP/1.1: {error}") from error
            self.keep_alive = False
        self._check_size()

    def finish(self) -> bool:
        """Handle the end of the stream; return whether it completes the response (no length, not chunked)."""
        chunked = "chunked" in self._headers.get("transfer-encoding", "").lower()
        if self.has_status and "content-length" not in self._headers and not chunked:
            self.done = True
        return self.done

    def response(self) -> Response:
        """Return the response, once ``done``."""
        return Response(self._status, self._headers, b"".join(self._body))

    def _check_size(self) -> None:
        if self._head_size > self._max_head or (not self.has_status and self.raw_size > self._max_head):
            raise TransportError("ResponseTooLarge", f"the head of the response exceeds {self._max_head:,} bytes")
        # Raw bytes are bounded, too: the parser collects the headers and trailers of chunks.
        if self._body_size > self._max_body or self.raw_size > self._max_head + 2 * self._max_body:
            if self._status < _MIN_ERROR_STATUS:
                raise TransportError("ResponseTooLarge", f"the body of the response exceeds {self._max_body:,} bytes")
            self.done, self.keep_alive = True, False  # the rest is not read

    def on_message_begin(self) -> None:
        """Note an unrequested second response."""
        if self.done:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers count towards the limit and are dropped."""
        self._head_size += len(name) + len(value)
        if not self.has_status and self._head_size <= self._max_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Skip interim responses and keep the head of the final one."""
        if self.done:
            return
        self._status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        if self._status < _MIN_FINAL_STATUS:
            return
        self._headers = _join_headers(fields)
        self.has_status = True
        if self._head_only:
            self.keep_alive = self._parser.should_keep_alive()
            # llhttp has no option for a response without a body, and would wait for one.
            self._parser = httptools.HttpResponseParser(self)
            self.done = True

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body, within the limit."""
        self._body_size += len(data)
        if not self.done and self._body_size <= self._max_body:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """Complete the response, unless it was an interim one."""
        if self.has_status and not self.done:
            self.keep_alive = self._parser.should_keep_alive()
            self.done = True


@lru_cache(256)
def _name(field: bytes) -> str:
    return field.decode("latin-1").lower()


def _join_headers(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; the values of one name are joined."""
    headers: dict[str, str] = {}
    for name, value in fields:
        key, text = _name(name), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
