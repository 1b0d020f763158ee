"""Proxy rule: choose the proxy of a connection from the environment."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from crosshaul.aws.net.origin import Origin
from crosshaul.errors import ConfigError

_DEFAULT_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; ``authorization`` is the Proxy-Authorization header's value and stays out of ``repr``."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name for ``origin``.

    The rule is that of Python's urllib: a lower-case name precedes its upper-case form and, if empty, disables it;
    an empty upper-case name counts as unset. NO_PROXY takes host names and their suffixes, ``host:port``,
    addresses, networks (10.0.0.0/8) and ``*``. Raises ConfigError for a proxy that is not
    ``http://[user:password@]host[:port]``.
    """
    settings = _settings(environ)
    variable, url = settings.get(origin.scheme) or settings.get("all") or ("", "")
    if not url or _bypassed(origin, settings.get("no", ("", ""))[1]):
        return None
    try:
        return _parse(url if "://" in url else f"http://{url}")
    except ValueError:
        # The value, and the error about it, may contain a password.
        message = (
            f"{variable}: write it as http://[user:password@]host[:port], with %23, %2F, %3F for #, / and ? in the "
            "password; no other kind of proxy is supported"
        )
        raise ConfigError([message]) from None


def _settings(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the effective variables and their values by scheme, including ``no`` and ``all``."""
    variables = [(name, name[:-6].lower(), value) for name, value in environ.items() if name.lower().endswith("_proxy")]
    settings = {scheme: (name, value) for name, scheme, value in variables if value}
    if "REQUEST_METHOD" in environ:
        settings.pop("http", None)  # in a CGI program HTTP_PROXY is a header that the client chose
    for name, scheme, value in variables:
        if name.endswith("_proxy"):
            settings[scheme] = (name, value)
    return {scheme: setting for scheme, setting in settings.items() if setting[1]}


def _parse(url: str) -> Proxy:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.port == 0:
        raise ValueError
    # Text after the host is usually the rest of a password with an unescaped character: the part before it would be
    # resolved and logged as a host name.
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
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
    if not colon or not (port.isascii() and port.isdigit()):
        name = entry
    elif int(port) != origin.port:
        return False
    suffix = name.strip("[]").lstrip("*").lstrip(".").lower()
    return entry == "*" or origin.host.lower() == suffix or origin.host.lower().endswith(f".{suffix}")
