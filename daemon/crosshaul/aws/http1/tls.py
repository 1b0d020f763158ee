"""TLS: the context that checks, the stream by OpenSSL, and a failed handshake in our words."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from crosshaul.aws.http1.terms import WireError
from crosshaul.errors import ConfigError


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return a context that checks certificate and host name, TLS 1.2 at least.

    Trusted are the authorities in ``ca_bundle``; without it those in AWS_CA_BUNDLE (as botocore does); without that
    the system's, where OpenSSL itself honours SSL_CERT_FILE and SSL_CERT_DIR. Raises ConfigError for a bundle that
    can't be used. Blocks while it reads the bundle.
    """
    name = "tls_ca_bundle" if ca_bundle is not None else "AWS_CA_BUNDLE"
    bundle = str(ca_bundle) if ca_bundle is not None else os.environ.get("AWS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{name}: {bundle} can't be used as a file of CA certificates in PEM: {error}"]) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # sending never waits for something to be read
    context.set_alpn_protocols(["http/1.1"])
    return context


_RECORD = 16 * 1024
"""The most that a record holds."""


class TlsStream:
    """One connection's TLS in memory: OpenSSL is given what came over the line, and gives what is to go over it."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
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


def tls_error(host: str, error: OSError) -> WireError:
    """Say what a failed handshake with ``host`` means; SSLError is an OSError."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return WireError("TLSError", f"the certificate of {host} was refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return WireError("TLSError", f"no TLS with {host}: {error.reason or error}")
    return WireError("ConnectionReset", f"{host} closed the connection during the TLS handshake")
