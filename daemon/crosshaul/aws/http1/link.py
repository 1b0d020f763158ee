"""Transport over a connected, non-blocking socket, plain or with TLS.

Used instead of asyncio's transports, whose TLS keeps 256 KiB per connection, and which drop received bytes once a
write fails.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from typing import Protocol

from crosshaul.aws.http1.tls import TlsStream

_MAX_READ_BYTES = 64 * 1024
_WOULD_BLOCK = (BlockingIOError, InterruptedError)
# struct tcp_info of linux/tcp.h: tcpi_bytes_acked and tcpi_bytes_received, since Linux 4.2.
_TCP_INFO_LENGTH_BYTES = 136
_TCP_INFO_COUNTERS = slice(120, 136)
_INT_BYTES = 4


class LinkProtocol(Protocol):
    """Receiver of a link's events, named after asyncio.Protocol; called in the event loop."""

    def data_received(self, data: bytes) -> None:
        """Take received bytes."""

    def eof_received(self) -> None:
        """Handle the end of the peer's stream; the link closes itself afterwards."""

    def resume_writing(self) -> None:
        """Continue writing: all bytes are sent."""

    def connection_lost(self) -> None:
        """Handle the closing of the link, by either side; the last call."""


class Link:
    """Owns a connected, non-blocking socket and its TLS stream after the handshake; needs ``close``."""

    def __init__(self, sock: socket.socket, tls: TlsStream | None, protocol: LinkProtocol) -> None:
        self._sock = sock
        self._tls = tls
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._unsent: memoryview | None = None
        self.open = True
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def unsent(self) -> int:
        """Bytes, as encoded for the network, that the kernel has not accepted; write again after ``resume_writing``."""
        return 0 if self._unsent is None else len(self._unsent)

    def write(self, data: bytes | memoryview) -> None:
        """Send ``data``, which must not change until it is sent. Does nothing on a closed link."""
        if not self.open:
            return
        assert self._unsent is None  # noqa: S101 - or the new bytes would overtake the old
        try:
            encoded = data if self._tls is None else self._tls.encrypt(data)
            sent = self._send(encoded)
        except OSError:  # TLS's errors among them
            self._on_write_error()
            return
        if sent < len(encoded):
            self._unsent = memoryview(encoded)[sent:]
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)
        except _WOULD_BLOCK:
            return 0

    def close(self) -> None:
        """Close at once and drop unsent bytes. A second call does nothing."""
        if not self.open:
            return
        self.open, self._unsent = False, None
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._loop.call_soon(self._protocol.connection_lost)

    def transferred(self) -> int:
        """Return the bytes that the peer acknowledged and sent, from TCP_INFO; 0 where the kernel has none.

        Our own buffers, and those of TLS, empty in steps that are too coarse for a slow network.
        """
        if not self.open or not hasattr(socket, "TCP_INFO"):
            return 0
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_LENGTH_BYTES)[_TCP_INFO_COUNTERS]
        return int.from_bytes(info[:8], sys.byteorder) + int.from_bytes(info[8:], sys.byteorder)

    def unacknowledged(self) -> int:
        """Return the bytes in the kernel's send queue that the peer has not acknowledged (Linux; else 0)."""
        if not self.open or sys.platform != "linux":
            return 0
        queue = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(_INT_BYTES))
        return int.from_bytes(queue, sys.byteorder)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_MAX_READ_BYTES)
            for plain in (data,) if self._tls is None else self._tls.decrypt(data):
                self._deliver(plain)
        except _WOULD_BLOCK:
            return
        except OSError:  # TLS's errors among them
            self.close()

    def _deliver(self, data: bytes) -> None:
        if not self.open:
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._protocol.eof_received()
            self.close()

    def _writable(self) -> None:
        unsent = self._unsent
        assert unsent is not None  # noqa: S101 - the writer is registered only then
        try:
            sent = self._send(unsent)
        except OSError:
            self._on_write_error()
            return
        self._unsent = unsent[sent:] if sent < len(unsent) else None
        if self._unsent is None:
            self._loop.remove_writer(self._sock.fileno())
            self._protocol.resume_writing()

    def _on_write_error(self) -> None:
        """Deliver what the peer sent before it stopped reading, such as an early response, and close."""
        self._readable()
        self.close()
