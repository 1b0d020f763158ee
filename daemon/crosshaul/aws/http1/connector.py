"""Open connections: the host's addresses in turn, the proxy's tunnel, the TLS handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from crosshaul.aws.http1.connection import Connection
from crosshaul.aws.http1.proxy import open_tunnel
from crosshaul.aws.http1.resolver import HostAddresses
from crosshaul.aws.http1.tls import TlsStream, tls_error
from crosshaul.aws.http1.types import Address, Deadlines, TransportError
from crosshaul.aws.net import Origin, Proxy


class Connector:
    """Opens connections to one origin."""

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None, deadlines: Deadlines, proxy: Proxy | None) -> None:
        if (tls is not None) != (origin.scheme == "https"):
            raise ValueError("a TLS context is required for https, and only for https")
        self._origin = origin
        self._tls = tls
        self._deadlines = deadlines
        self._proxy = proxy
        self._name = f"{origin.host}:{origin.port}" if proxy is None else f"the proxy {proxy.name}"
        self.addresses = HostAddresses(*((proxy.host, proxy.port) if proxy else (origin.host, origin.port)))

    async def connect(self, make: Callable[[socket.socket, TlsStream | None], Connection]) -> Connection:
        """Return a new connection, ready for a request. Raises TransportError, never ambiguous."""
        sock = await self._connect_any()
        try:
            if self._proxy is not None and self._tls is not None:
                timeout = TransportError(
                    "ProxyError", f"no response from {self._name} within {self._deadlines.connect:g} s"
                )
                async with _deadline(self._deadlines.connect, timeout):
                    await open_tunnel(sock, self._proxy, self._origin)
            return make(sock, await self._start_tls(sock))
        except BaseException:
            sock.close()
            raise

    async def _connect_any(self) -> socket.socket:
        message = f"{self._name} not resolved within {self._deadlines.connect:g} s"
        async with _deadline(self._deadlines.connect, TransportError("DNSError", message)):
            addresses = await self.addresses.next()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadlines.connect
        error = TransportError("ConnectError", f"{self._name} has no address")
        for number, address in enumerate(addresses):
            share = (end - loop.time()) / (len(addresses) - number)
            try:
                return await self._connect_to(address, share)
            except TransportError as failure:
                self.addresses.failed(address)
                error = failure
        raise error

    async def _connect_to(self, address: Address, seconds: float) -> socket.socket:
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:
            raise TransportError("ConnectError", f"can't create a socket for {self._name}: {error.strerror}") from error
        try:
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            message = f"{self._name} ({address.sockaddr[0]}) did not accept a connection within {seconds:.1f} s"
            async with _deadline(seconds, TransportError("ConnectTimeout", message)):
                await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                message = f"can't connect to {self._name} ({address.sockaddr[0]}): {error.strerror or error}"
                raise TransportError("ConnectError", message) from error
            raise
        return sock

    async def _start_tls(self, sock: socket.socket) -> TlsStream | None:
        if self._tls is None:
            return None
        host = self._origin.host
        timeout = TransportError("TLSTimeout", f"no TLS handshake with {host} within {self._deadlines.tls:g} s")
        try:
            stream = TlsStream(self._tls, host)
            async with _deadline(self._deadlines.tls, timeout):
                await stream.handshake(sock)
        except OSError as error:
            raise tls_error(host, error) from error
        return stream


@asynccontextmanager
async def _deadline(seconds: float, error: TransportError) -> AsyncIterator[None]:
    """Raise ``error`` when the block takes longer; a TimeoutError raised inside passes through."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise error from None
        raise
