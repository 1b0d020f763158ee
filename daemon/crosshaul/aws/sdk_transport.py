"""botocore's HTTP, carried by our own client: one TLS, one proxy rule, no redirect, bounded answers.

botocore's own sessions check no host name, check nothing at all through a proxy, and follow redirects
(aiobotocore 2.25.1). So none of them is used, for no client of the process.
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

_MAX_ANSWER_BYTES = 1024 * 1024
"""AWS's own answers have some thousands."""
_MAX_OBJECT_BYTES = 16 * 1024 * 1024
"""Of one GetObject."""
_MAX_IDLE_SECONDS = 12.0
"""A call without a body is not sent twice by itself, so a connection that may be broken is not tried for it."""
_ERROR = 300
"""The lowest status that is an error here."""


class RefusedError(BotoCoreError):  # type: ignore[misc] # botocore has no types
    """An error answer, for ``faults`` to read: botocore's parsers choke on what proxies say, and forget the status."""

    fmt = "refused with HTTP {status}"

    def __init__(self, answer: http1.Response) -> None:
        super().__init__(status=answer.status)
        self.answer = answer


def refuse_unless_xml(answer: http1.Response) -> None:
    """Raise RefusedError for all that is no document which S3, STS or IAM give when all is well."""
    if answer.status >= _ERROR or "html" in answer.headers.get("content-type", "").lower():
        raise RefusedError(answer)
    document = answer.body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if document and (not document.startswith(b"<") or "Code" in elements(document)):
        raise RefusedError(answer)


def refuse_unless_json(answer: http1.Response) -> None:
    """Raise RefusedError for what is no JSON: SSO's errors are JSON as well, which botocore's parsers know."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RefusedError(answer)


def accept_any(answer: http1.Response) -> None:
    """Leave the judgement to the caller."""


class SdkHttpSession:
    """What botocore takes for its HTTP session. A transport error is http1.TransportError; redirects are answers."""

    def __init__(
        self,
        *,
        tls: ContextLoader,
        judge: Callable[[http1.Response], None] = refuse_unless_xml,
        direct: bool = False,
        timeout: float | tuple[float, float] = (10.0, 15.0),
        max_pool_connections: int = 10,
        **_botocores_choice: object,
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
        self._most = max_pool_connections
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
        """Send one request; the answer is one for botocore's parsers.

        Raises TransportError, RefusedError.
        """
        parts = urlsplit(request.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [(name.lower(), _text(value)) for name, value in request.headers.items()]
        headers.append(("accept-encoding", "identity"))
        body = request.body or b""
        streamed = bool(request.stream_output)
        client = await self._client(http1.Origin.of(request.url), _MAX_OBJECT_BYTES if streamed else _MAX_ANSWER_BYTES)
        answer = await client.send(request.method, target, headers, body.encode() if isinstance(body, str) else body)
        if request.method != "GET" or answer.status >= _ERROR:  # what is got is whatever it is: bytes, a policy in JSON
            answer = answer._replace(body=legible(unzipped(answer.headers, answer.body, _MAX_ANSWER_BYTES)))
            self._judge(answer)
        return AioAWSResponse(request.url, answer.status, dict(answer.headers), _Whole(answer.body))

    async def _client(self, origin: http1.Origin, max_body: int) -> http1.Client:
        tls = await self._context() if origin.scheme == "https" else None
        if (origin, max_body) not in self._clients:
            self._clients[origin, max_body] = http1.Client(
                origin,
                tls=tls,
                max_connections=self._most,
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


class _Whole:
    """A body that is all here, in the two forms in which aiobotocore reads one from aiohttp."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)
        self.content = self

    async def read(self, amount: int = -1) -> bytes:
        """Return so many bytes more, or all."""
        return self._body.read(amount)

    def close(self) -> None:
        """Nothing is open."""


class MetadataSession:
    """For credentials that this machine's metadata services give: never by a proxy, no redirect, one use a call.

    A proxy can't reach link-local addresses for us, and whoever owns it would get the machine's credentials.
    """

    def __init__(self, tls: ContextLoader, timeout: float) -> None:
        self._tls = tls
        self._timeout = timeout

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[_Metadata]:
        """A session for the block."""
        async with _Metadata(tls=self._tls, judge=accept_any, direct=True, timeout=self._timeout) as session:
            yield session


class _Metadata(SdkHttpSession):
    """Raises what botocore's fetchers try again, or pass over to the next provider."""

    async def send(self, request: Any) -> AioAWSResponse:  # noqa: ANN401 - botocore's own, which has no types
        try:
            return await super().send(request)
        except http1.TransportError as error:
            kind = _AS_BOTOCORE.get(error.code, EndpointConnectionError)
            raise kind(endpoint_url=request.url, error=error) from error


_AS_BOTOCORE = {"ConnectTimeout": ConnectTimeoutError, "ProgressTimeout": ReadTimeoutError}
