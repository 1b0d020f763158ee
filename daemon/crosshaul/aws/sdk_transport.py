"""HTTP session for botocore over our own client: one TLS and proxy rule, no redirects, bounded responses.

No client of the process uses botocore's own sessions: they check no host name, check no certificate through a proxy,
and follow redirects (aiobotocore 2.25.1).
"""

from __future__ import annotations

import io
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from aiobotocore.awsrequest import AioAWSResponse
from botocore.exceptions import (
    BotoCoreError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from crosshaul.aws import http1
from crosshaul.aws.error_body import elements, legible, unzipped
from crosshaul.aws.tls_contexts import ContextLoader
from crosshaul.errors import ConfigError

_MAX_RESPONSE_BYTES = 1024 * 1024
"""AWS's responses have some thousands."""
_MAX_OBJECT_BYTES = 16 * 1024 * 1024
"""Limit of one GetObject."""
_MAX_IDLE_SECONDS = 12.0
"""POST requests are not resent, so an old connection, which may be broken, is not used for them."""
_MIN_ERROR_STATUS = 300


class RefusedError(BotoCoreError):  # type: ignore[misc] # botocore has no types
    """An error response, for ``error_map``: botocore's parsers fail on proxies' responses and lose the status."""

    fmt = "refused with HTTP {status}"

    def __init__(self, response: http1.Response) -> None:
        super().__init__(status=response.status)
        self.response = response


def refuse_unless_xml(response: http1.Response) -> None:
    """Raise RefusedError for a response that is not a successful document of S3, STS or IAM."""
    if response.status >= _MIN_ERROR_STATUS or "html" in response.headers.get("content-type", "").lower():
        raise RefusedError(response)
    document = response.body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if document and (not document.startswith(b"<") or "Code" in elements(document)):
        raise RefusedError(response)


def refuse_unless_json(response: http1.Response) -> None:
    """Raise RefusedError for a response without a JSON object; botocore's parsers handle SSO's errors, also JSON."""
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RefusedError(response)


def accept_any(response: http1.Response) -> None:
    """Accept every response; the caller checks it."""


class SdkHttpSession:
    """Replacement of botocore's HTTP session. Raises http1.TransportError; redirects are returned as responses."""

    def __init__(
        self,
        *,
        tls: ContextLoader,
        judge: Callable[[http1.Response], None] = refuse_unless_xml,
        direct: bool = False,
        timeout: float | tuple[float, float] = (10.0, 15.0),
        max_pool_connections: int = 10,
        **_ignored: object,
    ) -> None:
        """Use ``tls`` only for https: reading a trust store takes tens of milliseconds.

        ``judge`` raises for an error response; ``direct``: use no proxy, whatever is set. Other arguments of botocore
        (``verify``, ``proxies``, ``client_cert``, ``proxies_config``) have no effect.
        """
        self._tls = tls
        self._tls_context: ssl.SSLContext | None = None
        self._judge = judge
        self._direct = direct
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        self._deadlines = http1.Deadlines(connect=connect, tls=connect, progress=read, response=read)
        self._max_connections = max_pool_connections
        self._clients: dict[tuple[http1.Origin, int], http1.Client] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    async def send(self, request: Any) -> AioAWSResponse:  # noqa: ANN401 - botocore's own, which has no types
        """Send one request; return the response for botocore's parsers.

        Raises TransportError, RefusedError.
        """
        parts = urlsplit(request.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [(name.lower(), _text(value)) for name, value in request.headers.items()]
        headers.append(("accept-encoding", "identity"))
        body = request.body or b""
        streamed = bool(request.stream_output)
        client = await self._client(
            http1.Origin.of(request.url), _MAX_OBJECT_BYTES if streamed else _MAX_RESPONSE_BYTES
        )
        response = await client.send(request.method, target, headers, body.encode() if isinstance(body, str) else body)
        # A successful GET may return any bytes, such as a policy in JSON.
        if request.method != "GET" or response.status >= _MIN_ERROR_STATUS:
            response = response._replace(body=legible(unzipped(response.headers, response.body, _MAX_RESPONSE_BYTES)))
            self._judge(response)
        return AioAWSResponse(request.url, response.status, dict(response.headers), _Body(response.body))

    async def _client(self, origin: http1.Origin, max_body: int) -> http1.Client:
        tls = await self._context() if origin.scheme == "https" else None
        if (origin, max_body) not in self._clients:
            self._clients[origin, max_body] = http1.Client(
                origin,
                tls=tls,
                max_connections=self._max_connections,
                deadlines=self._deadlines,
                proxy=None if self._direct else _proxy_for(origin),
                max_body=max_body,
                max_idle=_MAX_IDLE_SECONDS,
            )
        return self._clients[origin, max_body]

    async def _context(self) -> ssl.SSLContext:
        if self._tls_context is None:
            try:
                self._tls_context = await self._tls.get()
            except ConfigError as error:
                raise http1.TransportError("TLSError", str(error)) from error
        return self._tls_context


def _proxy_for(origin: http1.Origin) -> http1.Proxy | None:
    try:
        return http1.proxy_for(origin, os.environ)
    except ConfigError as error:
        raise http1.TransportError("ProxyError", str(error)) from error


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


class _Body:
    """A complete body with the two interfaces that aiobotocore expects of aiohttp."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)
        self.content = self

    async def read(self, amount: int = -1) -> bytes:
        """Return the next ``amount`` bytes, or all."""
        return self._body.read(amount)

    def close(self) -> None:
        """Do nothing."""


class MetadataSession:
    """Session for the machine's metadata services: no proxy, no redirect, one session per call.

    A proxy can't reach this machine's link-local addresses, and would see the machine's credentials.
    """

    def __init__(self, tls: ContextLoader, timeout: float) -> None:
        self._tls = tls
        self._timeout = timeout

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[_MetadataHttpSession]:
        """Yield a session for the block."""
        async with _MetadataHttpSession(tls=self._tls, judge=accept_any, direct=True, timeout=self._timeout) as session:
            yield session


class _MetadataHttpSession(SdkHttpSession):
    """Raises the errors that botocore's fetchers retry or skip."""

    async def send(self, request: Any) -> AioAWSResponse:  # noqa: ANN401 - botocore's own, which has no types
        try:
            return await super().send(request)
        except http1.TransportError as error:
            kind = _AS_BOTOCORE.get(error.code, EndpointConnectionError)
            raise kind(endpoint_url=request.url, error=error) from error


_AS_BOTOCORE = {"ConnectTimeout": ConnectTimeoutError, "ProgressTimeout": ReadTimeoutError}
