"""The TLS context, and a failed handshake in our words."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from crosshaul.aws.http1.terms import WireError
from crosshaul.errors import ConfigError


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return a context that checks certificate and host name, TLS 1.2 at least.

    Trusted are the authorities in ``ca_bundle``; without it those in AWS_CA_BUNDLE (as botocore does); without that
    the system's, where OpenSSL itself honours SSL_CERT_FILE and SSL_CERT_DIR. Raises ConfigError for a bundle that
    can't be used. Blocks while it reads the bundle.
    """
    name = "tls_ca_bundle" if ca_bundle is not None else "AWS_CA_BUNDLE"
    bundle = str(ca_bundle) if ca_bundle is not None else os.environ.get("AWS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{name}: {bundle} can't be used as a file of CA certificates in PEM: {error}"]) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # sending never waits for something to be read
    context.set_alpn_protocols(["http/1.1"])
    return context


def tls_error(host: str, error: OSError) -> WireError:
    """Say what a failed handshake with ``host`` means; SSLError is an OSError."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return WireError("TLSError", f"the certificate of {host} was refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return WireError("TLSError", f"no TLS with {host}: {error.reason or error}")
    return WireError("ConnectionReset", f"{host} closed the connection during the TLS handshake")
