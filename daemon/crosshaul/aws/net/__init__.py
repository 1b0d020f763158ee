"""Origins, proxy rule and trust store of every client in the process.

Nothing here connects, so that commands which only read the configuration can use it, too.
"""

from crosshaul.aws.net.origin import Origin
from crosshaul.aws.net.proxy_rule import Proxy, proxy_for
from crosshaul.aws.net.trust_store import tls_context

__all__ = ["Origin", "Proxy", "proxy_for", "tls_context"]
