"""A connected socket, plain or under TLS, that never blocks: it tells what came, and sends what it is given.

asyncio's transports would do the same; but their TLS keeps 256 KiB for each connection, and once they can't send they
drop what the other side had to say about that.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from typing import Protocol

from crosshaul.aws.http1.tls import TlsStream

_CHUNK = 64 * 1024
"""Bytes read at once."""
_NOT_NOW = (BlockingIOError, InterruptedError)
# struct tcp_info of linux/tcp.h: tcpi_bytes_acked and tcpi_bytes_received, since Linux 4.2.
_TCP_INFO_SIZE = 136
_TCP_INFO_BYTES = slice(120, 136)
_INT_SIZE = 4


class LinkProtocol(Protocol):
    """Who is told what happens, in the loop."""

    def heard(self, data: bytes) -> None:
        """Bytes came."""

    def ended(self) -> None:
        """The other side has said all it wanted to; the link closes itself."""

    def drained(self) -> None:
        """All that had to wait is sent."""

    def gone(self) -> None:
        """The link is closed, by whichever side; the last call."""


class Link:
    """Takes over a socket that is connected and non-blocking, and the TLS whose hands are shaken. ``close`` it."""

    def __init__(self, sock: socket.socket, tls: TlsStream | None, owner: LinkProtocol) -> None:
        self._sock = sock
        self._tls = tls
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._unsent: memoryview | None = None
        self.open = True
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def waiting(self) -> int:
        """Bytes that the system has not taken yet, as they go on the line; write no more until they are ``drained``."""
        return 0 if self._unsent is None else len(self._unsent)

    def write(self, data: bytes | memoryview) -> None:
        """Send; what does not fit waits, and must not change meanwhile. Nothing happens once it is closed."""
        if not self.open:
            return
        assert self._unsent is None  # noqa: S101 - or these bytes would go before those
        try:
            line = data if self._tls is None else self._tls.sealed(data)
            sent = self._send(line)
        except OSError:  # TLS's errors among them
            self._broken()
            return
        if sent < len(line):
            self._unsent = memoryview(line)[sent:]
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def _send(self, line: bytes | memoryview) -> int:
        try:
            return self._sock.send(line)
        except _NOT_NOW:
            return 0

    def close(self) -> None:
        """Close at once; what waits is dropped. A second call does nothing."""
        if not self.open:
            return
        self.open, self._unsent = False, None
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._loop.call_soon(self._owner.gone)

    def moved(self) -> int:
        """Bytes that the peer took and sent, as far as the system tells.

        Only the kernel knows: bytes leave our buffers, and those of TLS, in steps that are too coarse for a slow line.
        """
        if not self.open or not hasattr(socket, "TCP_INFO"):
            return 0
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)[_TCP_INFO_BYTES]
        return int.from_bytes(info[:8], sys.byteorder) + int.from_bytes(info[8:], sys.byteorder)

    def untaken(self) -> int:
        """Bytes that the system holds and the peer has not acknowledged; 0 where the system doesn't tell."""
        if not self.open or sys.platform != "linux":
            return 0
        queue = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(_INT_SIZE))
        return int.from_bytes(queue, sys.byteorder)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
            for plain in (data,) if self._tls is None else self._tls.opened(data):
                self._take(plain)
        except _NOT_NOW:
            return
        except OSError:  # TLS's errors among them
            self.close()

    def _take(self, data: bytes) -> None:
        if not self.open:
            return
        if data:
            self._owner.heard(data)
        else:
            self._owner.ended()
            self.close()

    def _writable(self) -> None:
        unsent = self._unsent
        assert unsent is not None  # noqa: S101 - it is listened for only then
        try:
            sent = self._send(unsent)
        except OSError:
            self._broken()
            return
        self._unsent = unsent[sent:] if sent < len(unsent) else None
        if self._unsent is None:
            self._loop.remove_writer(self._sock.fileno())
            self._owner.drained()

    def _broken(self) -> None:
        """The other side takes no more; why, it may have said."""
        self._readable()
        self.close()
