"""Where connections go and whom they trust: origins, the proxy rule, the trust store. For every client of the process.

Nothing here connects, so that a verb which only reads the configuration can ask as well.
"""

from crosshaul.net.origin import Origin
from crosshaul.net.proxy_rule import Proxy, proxy_for
from crosshaul.net.trust_store import tls_context

__all__ = ["Origin", "Proxy", "proxy_for", "tls_context"]
