"""Which certificate authorities are trusted by which call. All contexts come from net.trust_store, all block."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from crosshaul.aws.net import tls_context
from crosshaul.config import Destination, aws_profile


def for_bucket(destination: Destination, profile: str | None) -> ssl.SSLContext:
    """S3's calls: the destination's own bundle, else the process's. Raises ConfigError."""
    return tls_context(destination.tls_ca_bundle, profile_bundle=_of(profile))


def for_identity(profile: str | None, ca_bundle: Path | None) -> ssl.SSLContext:
    """STS and the credential providers, for a destination with this bundle: the process's and it. Raises ConfigError.

    A private store brings its own STS; AWS's is asked for a destination with a bundle as well.
    """
    return tls_context(besides=ca_bundle, profile_bundle=_of(profile))


def for_monitor(profile: str | None) -> ssl.SSLContext:
    """The heartbeat's address: the system's authorities and the process's bundle. Raises ConfigError.

    A bundle is given for AWS and the stores, and a monitor is mostly somewhere else.
    """
    return tls_context(system=True, profile_bundle=_of(profile))


def _of(profile: str | None) -> str | None:
    return aws_profile.read(profile, os.environ).ca_bundle
