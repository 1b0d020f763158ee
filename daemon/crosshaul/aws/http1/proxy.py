"""A tunnel through a proxy."""

from __future__ import annotations

import asyncio
import re
import socket

from crosshaul.aws.http1.types import TransportError
from crosshaul.aws.net import Origin, Proxy

_MAX_HEAD = 16 * 1024
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_ASK = "have the proxy allow it, or name the host in NO_PROXY"
_HINTS = {
    "407": "it wants a user and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
    "403": _ASK,
    "405": _ASK,
    "502": "the proxy can't reach it",
    "503": "the proxy can't reach it",
    "504": "the proxy can't reach it",
}
"""What to do about a proxy's refusal."""


async def open_tunnel(sock: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """Ask the proxy at the other end of ``sock`` for a tunnel to ``origin``. Raises WireError (ProxyError)."""
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"host: {host}:{origin.port}"]
    if proxy.authorization is not None:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    try:
        await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await _read_head(sock)
    except OSError as error:
        raise TransportError("ProxyError", f"the proxy {proxy.name} broke the connection: {error.strerror}") from error
    status, _, reason = _status(head).partition(" ")
    if not status.startswith("2"):
        raise TransportError("ProxyError", f"the proxy {proxy.name} {_refusal(host, origin.port, status, reason)}")


def _status(head: bytes) -> str:
    """Return code and reason of the proxy's answer; "" for what is not HTTP."""
    version, _, rest = head.split(b"\n", 1)[0].decode("latin-1").rstrip("\r").partition(" ")
    return rest[:100] if version.startswith("HTTP/1.") else ""


def _refusal(host: str, port: int, status: str, reason: str) -> str:
    if not status:
        return f"did not answer CONNECT {host}:{port} in HTTP: it is no HTTP proxy, or it closed the connection"
    said = f"refused a tunnel to {host}:{port}: {status} {reason}".rstrip()
    return f"{said} ({_HINTS[status]})" if status in _HINTS else said


async def _read_head(sock: socket.socket) -> bytes:
    """Return the head of the proxy's answer, or b"" for what can't be one.

    What a refusal says after its head is not waited for: the proxy may keep the connection open.
    """
    loop = asyncio.get_running_loop()
    data, end = b"", None
    while end is None:
        more = await loop.sock_recv(sock, 4096)
        data += more
        end = _END_OF_HEAD.search(data)
        if end is None and (not more or len(data) > _MAX_HEAD):
            return b"" if _status(data).startswith("2") else data
    # The other side of the tunnel speaks second in TLS: nothing can rightly follow the head of a good answer.
    followed = len(data) > end.end()
    return b"" if followed and _status(data).startswith("2") else data
