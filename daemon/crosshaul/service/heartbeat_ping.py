"""Ping a monitor's URL with our own HTTP client: same certificates and proxies, no redirects."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import Final
from urllib.parse import unquote, urlsplit

from crosshaul.aws import http1, tls_contexts
from crosshaul.errors import ConfigError

DEADLINE_SECONDS: Final = 10.0
"""From name lookup to response."""
_SUCCESS: Final = range(200, 300)


async def ping(url: str, profile: str | None) -> str | None:
    """Ping ``url``; return the error or None. The URL is a secret and in no text."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            status = await _status(url, profile)
    except TimeoutError:
        return f"no response from the monitor within {DEADLINE_SECONDS:.0f} s"
    except ConfigError as error:
        return str(error)
    except http1.TransportError as error:
        if error.code == "TLSError":
            return "the monitor's certificate is not trusted"
        if error.code == "ProxyError":
            return error.message.replace(urlsplit(url).hostname or "\0", "the monitor")
        return f"the monitor can't be reached ({error.code})"
    except ValueError as error:
        return f"the monitor's address is invalid ({type(error).__name__})"
    return None if status in _SUCCESS else f"the monitor answered HTTP {status}"


async def _status(url: str, profile: str | None) -> int:
    origin, parts = http1.Origin.of(url), urlsplit(url)
    tls = await asyncio.to_thread(tls_contexts.for_monitor, profile) if origin.scheme == "https" else None
    client = http1.Client(
        origin,
        tls=tls,
        max_connections=1,
        deadlines=http1.Deadlines(),
        proxy=http1.proxy_for(origin, os.environ),
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [("user-agent", "crosshaul"), ("accept", "*/*")]
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.append(("authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
    try:
        return (await client.send("GET", target, headers, b"")).status
    finally:
        await client.close()
