"""Open a tunnel through an HTTP proxy (CONNECT)."""

from __future__ import annotations

import asyncio
import re
import socket

from crosshaul.aws.http1.types import TransportError
from crosshaul.aws.net import Origin, Proxy

_MAX_HEAD_BYTES = 16 * 1024
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_ALLOW = "allow the host in the proxy, or add it to NO_PROXY"
_HINTS = {
    "407": "the proxy requires a user and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
    "403": _ALLOW,
    "405": _ALLOW,
    "502": "the proxy can't reach the host",
    "503": "the proxy can't reach the host",
    "504": "the proxy can't reach the host",
}
"""Hint for each status of a proxy that refuses."""


async def open_tunnel(sock: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """Ask the proxy at the other end of ``sock`` for a tunnel to ``origin``. Raises TransportError (ProxyError)."""
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"host: {host}:{origin.port}"]
    if proxy.authorization is not None:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    try:
        await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await _read_head(sock)
    except OSError as error:
        raise TransportError("ProxyError", f"the proxy {proxy.name} closed the connection: {error.strerror}") from error
    status, _, reason = _status(head).partition(" ")
    if not status.startswith("2"):
        raise TransportError("ProxyError", f"the proxy {proxy.name} {_refusal(host, origin.port, status, reason)}")


def _status(head: bytes) -> str:
    """Return status code and reason of the proxy's response; "" if it is not HTTP."""
    version, _, rest = head.split(b"\n", 1)[0].decode("latin-1").rstrip("\r").partition(" ")
    return rest[:100] if version.startswith("HTTP/1.") else ""


def _refusal(host: str, port: int, status: str, reason: str) -> str:
    if not status:
        return f"did not answer CONNECT {host}:{port} in HTTP: it is not an HTTP proxy, or it closed the connection"
    refusal = f"refused a tunnel to {host}:{port}: {status} {reason}".rstrip()
    return f"{refusal} ({_HINTS[status]})" if status in _HINTS else refusal


async def _read_head(sock: socket.socket) -> bytes:
    """Return the head of the proxy's response, or b"" if it is invalid.

    The body of a refusal is not read: the proxy may keep the connection open.
    """
    loop = asyncio.get_running_loop()
    data, end = b"", None
    while end is None:
        more = await loop.sock_recv(sock, 4096)
        data += more
        end = _END_OF_HEAD.search(data)
        if end is None and (not more or len(data) > _MAX_HEAD_BYTES):
            return b"" if _status(data).startswith("2") else data
    # In TLS the client speaks first: no byte may follow the head of a successful response.
    followed = len(data) > end.end()
    return b"" if followed and _status(data).startswith("2") else data
