"""Who may read: on loopback whoever asks by a local name, and with a token only those who show it."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_PROBES: Final = frozenset({"/livez", "/readyz"})
"""Open to all, since kubelet and load balancers have no token; without one they are told yes or no alone."""
TRUSTED: Final = web.RequestKey("trusted", bool)
"""Whether the asker may hear more than yes or no."""


def by_local_name(listening_on: str) -> Middleware:
    """Only local names are answered: a web page can't reach in by rebinding its own name."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            host = request.url.host
        except ValueError:  # a port that is none, bytes that are no name
            raise web.HTTPBadRequest(text="The Host header makes no sense.\n") from None
        if not (_is_address(host) or host in {"localhost", listening_on}):
            raise web.HTTPMisdirectedRequest(text="Ask by address, or as localhost.\n")
        return await handler(request)

    return check


def with_token(token: str | None) -> Middleware:
    """All but the probes needs the token, as a bearer's or as a browser's password; None = no token is asked for."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[TRUSTED] = token is None or _shows(request.headers.get("Authorization", ""), token)
        if not request[TRUSTED] and request.path not in _PROBES:
            challenge = {"WWW-Authenticate": 'Basic realm="Crosshaul", charset="UTF-8"'}
            raise web.HTTPUnauthorized(text="Show http.token, as the password or as Bearer.\n", headers=challenge)
        return await handler(request)

    return check


def _shows(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    shown = {"bearer": given.strip().encode("utf-8", "surrogateescape"), "basic": _password(given)}.get(
        scheme.lower(), b""
    )
    return hmac.compare_digest(shown, token.encode())  # in constant time: how much of a guess is right can't be told


def _password(given: str) -> bytes:
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True
