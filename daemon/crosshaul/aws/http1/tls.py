"""TLS stream over OpenSSL's memory buffers, and errors of its handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator

from crosshaul.aws.http1.types import TransportError

_MAX_RECORD_BYTES = 16 * 1024


class TlsStream:
    """TLS of one connection: ``encrypt`` and ``decrypt`` convert between plain bytes and TLS records."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Raise TransportError for a context without checks, and ValueError for a host that can't be checked."""
        if not context.check_hostname or context.verify_mode is not ssl.CERT_REQUIRED:
            raise TransportError("TLSError", "the TLS context does not check certificates and host names")
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def handshake(self, sock: socket.socket) -> None:
        """Perform the handshake, which checks certificate and host name. Raises OSError, including SSLError."""
        loop = asyncio.get_running_loop()
        while not self._handshake_done():
            await loop.sock_sendall(sock, self._outgoing.read())
            self._feed(await loop.sock_recv(sock, _MAX_RECORD_BYTES))
        await loop.sock_sendall(sock, self._outgoing.read())

    def _handshake_done(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return the records for ``data``, and any pending records of TLS itself."""
        self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> Iterator[bytes]:
        """Yield the plain bytes in received ``data`` (b"": end of the stream), and b"" for a proper end of TLS.

        Raises SSLError, such as for a stream that ends without TLS's own end: the response may be truncated.
        """
        self._feed(data)
        while True:
            try:
                plain = self._tls.read(_MAX_RECORD_BYTES)
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
    """Return the error of a failed handshake with ``host``; SSLError is an OSError."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TransportError("TLSError", f"the certificate of {host} is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return TransportError("TLSError", f"TLS handshake with {host} failed: {error.reason or error}")
    return TransportError("ConnectionReset", f"{host} closed the connection during the TLS handshake")
