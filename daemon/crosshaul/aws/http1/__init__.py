"""A small HTTP/1.1 client for requests with bodies, on asyncio's Protocol and httptools (llhttp).

``Client`` owes what a client owes: a bounded keep-alive pool, deadlines on everything, back-pressure, early answers,
checked certificates, proxies, and honest errors: ``TransportError`` says whether the request may have been acted upon.
"""

from crosshaul.aws.http1.pool import Client
from crosshaul.aws.http1.resolver import resolve_apart
from crosshaul.aws.http1.types import BodyPacer, Deadlines, Response, TransportError
from crosshaul.aws.net import Origin, Proxy, proxy_for, tls_context

__all__ = [
    "BodyPacer",
    "Client",
    "Deadlines",
    "Origin",
    "Proxy",
    "Response",
    "TransportError",
    "proxy_for",
    "resolve_apart",
    "tls_context",
]
