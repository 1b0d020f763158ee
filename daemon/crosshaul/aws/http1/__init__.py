"""HTTP/1.1 client for requests with bodies, on non-blocking sockets and httptools (llhttp).

``Client`` has a bounded keep-alive pool, deadlines for each phase, back-pressure, early responses, checked
certificates, proxies, and errors that say whether the request may have been executed (``TransportError.ambiguous``).
"""

from crosshaul.aws.http1.client import Client
from crosshaul.aws.http1.resolver import install_resolver
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
    "install_resolver",
    "proxy_for",
    "tls_context",
]
