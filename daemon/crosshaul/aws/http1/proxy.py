"""Proxies: which one the environment asks for, and a tunnel through it."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from crosshaul.aws.http1.terms import Origin, WireError
from crosshaul.errors import ConfigError

_MAX_HEAD = 16 * 1024
_DEFAULT_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; ``authorization`` is the Proxy-Authorization header's value and stays out of ``repr``."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name for ``origin``, lower case first.

    NO_PROXY takes host names and suffixes, ``host:port``, addresses, networks (10.0.0.0/8) and ``*``. Raises
    ConfigError for a proxy that is not ``http://[user:password@]host[:port]``.
    """
    variable = next((name for name in _variables(origin, environ) if environ.get(name)), None)
    if variable is None or _bypassed(origin, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    url = environ[variable]
    try:
        return _parse(url if "://" in url else f"http://{url}")
    except ValueError:
        # The value may hold a password, and so may the error about it.
        message = f"{variable}: write it as http://[user:password@]host[:port]; no other kind of proxy is supported"
        raise ConfigError([message]) from None


def _variables(origin: Origin, environ: Mapping[str, str]) -> list[str]:
    own = [f"{origin.scheme}_proxy", f"{origin.scheme}_proxy".upper()]
    if origin.scheme == "http" and "REQUEST_METHOD" in environ:
        del own[1]  # in a CGI program HTTP_PROXY is a header that the other side chose
    return [*own, "all_proxy", "ALL_PROXY"]


def _parse(url: str) -> Proxy:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(parts.hostname, parts.port or _DEFAULT_PORT, authorization)


def _bypassed(origin: Origin, no_proxy: str) -> bool:
    return any(_covers(entry.strip(), origin) for entry in no_proxy.split(",") if entry.strip())


def _covers(entry: str, origin: Origin) -> bool:
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    name, colon, port = entry.rpartition(":")
    if not colon or not port.isdigit():
        name = entry
    elif int(port) != origin.port:
        return False
    suffix = name.strip("[]").lstrip("*").lstrip(".").lower()
    return entry == "*" or origin.host.lower() == suffix or origin.host.lower().endswith(f".{suffix}")


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
        raise WireError("ProxyError", f"the proxy {proxy.name} broke the connection: {error.strerror}") from error
    status = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(status) < 2 or not status[0].startswith("HTTP/1.") or not status[1].startswith("2"):  # noqa: PLR2004 - two words
        said = " ".join(status[1:])[:100] or "something that is not HTTP"
        raise WireError("ProxyError", f"the proxy {proxy.name} refused a tunnel to {origin.host}: {said!r}")


async def _read_head(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = await loop.sock_recv(sock, 4096)
        head += data
        # The other side of the tunnel speaks second in TLS: nothing can rightly follow the head.
        if not data or len(head) > _MAX_HEAD:
            return b""
    return head
