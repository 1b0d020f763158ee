"""Where connections go and whom they trust: origins, the proxy rule, the trust store. For every client of the process.

Nothing here connects, so that a verb which only reads the configuration can ask as well.
"""

from crosshaul.aws.net.origin import Origin
from crosshaul.aws.net.proxy_rule import Proxy, proxy_for
from crosshaul.aws.net.trust_store import tls_context

__all__ = ["Origin", "Proxy", "proxy_for", "tls_context"]
