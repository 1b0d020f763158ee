"""TLS: the stream by OpenSSL, and a failed handshake in our words."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator

from crosshaul.aws.http1.types import TransportError

_RECORD = 16 * 1024
"""The most that a record holds."""


class TlsStream:
    """One connection's TLS in memory: OpenSSL is given what came over the line, and gives what is to go over it."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Raise WireError for a context that does not check, and ValueError for a host that can't be checked."""
        if not context.check_hostname or context.verify_mode is not ssl.CERT_REQUIRED:
            raise TransportError("TLSError", "the TLS context does not check certificates and host names")
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def shake_hands(self, sock: socket.socket) -> None:
        """Agree on keys, and check certificate and host name. Raises OSError, SSLError among them."""
        loop = asyncio.get_running_loop()
        while not self._agreed():
            await loop.sock_sendall(sock, self._outgoing.read())
            self._feed(await loop.sock_recv(sock, _RECORD))
        await loop.sock_sendall(sock, self._outgoing.read())

    def _agreed(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def sealed(self, data: bytes | memoryview) -> bytes:
        """What goes over the line for ``data``, and for whatever TLS has to say itself."""
        self._tls.write(data)
        return self._outgoing.read()

    def opened(self, data: bytes) -> Iterator[bytes]:
        """What the other side said by ``data`` (b"" = the stream ended); b"" if it said that this is all.

        Raises SSLError, such as for an end that TLS was not told of, which is no end of an answer.
        """
        self._feed(data)
        while True:
            try:
                plain = self._tls.read(_RECORD)
            except ssl.SSLWantReadError:
                return
            yield plain
            if not plain:
                return

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


def tls_error(host: str, error: OSError) -> TransportError:
    """Say what a failed handshake with ``host`` means; SSLError is an OSError."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TransportError("TLSError", f"the certificate of {host} is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return TransportError("TLSError", f"TLS handshake with {host} failed: {error.reason or error}")
    return TransportError("ConnectionReset", f"{host} closed the connection during the TLS handshake")
