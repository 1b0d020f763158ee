"""Access control: on loopback only requests by a local name, and with a token only requests that have it."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_PROBES: Final = frozenset({"/livez", "/readyz"})
"""Open without the token, which kubelet and load balancers don't have; the reasons are left out then."""
TRUSTED: Final = web.RequestKey("trusted", bool)
"""True if the response may give reasons: they name accounts."""


def by_local_name(listening_on: str) -> Middleware:
    """Answer requests by a local name only, so that no web page gets in by DNS rebinding."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            host = request.url.host
        except ValueError:  # the port is no number, or the name has invalid bytes
            raise web.HTTPBadRequest(text="The Host header is invalid.\n") from None
        if not (_is_address(host) or host in {"localhost", listening_on}):
            raise web.HTTPMisdirectedRequest(text="Use an IP address or localhost as the host name.\n")
        return await handler(request)

    return check


def with_token(token: str | None) -> Middleware:
    """Require the token, as Bearer or as a browser's password, except for the probes; None = no token is required."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[TRUSTED] = token is None or _has_token(request.headers.get("Authorization", ""), token)
        if not request[TRUSTED] and request.path not in _PROBES:
            challenge = {"WWW-Authenticate": 'Basic realm="Crosshaul", charset="UTF-8"'}
            raise web.HTTPUnauthorized(
                text="Authenticate with http.token, as Bearer or as the password.\n", headers=challenge
            )
        return await handler(request)

    return check


def _has_token(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    presented = {"bearer": given.strip().encode("utf-8", "surrogateescape"), "basic": _password(given)}.get(
        scheme.lower(), b""
    )
    return hmac.compare_digest(
        presented, token.encode()
    )  # in constant time, so that the response time gives nothing away


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
