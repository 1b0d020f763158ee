"""What the environment adds to the configuration, checked at the start: proxies and certificate authorities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crosshaul.aws import tls_contexts
from crosshaul.aws.net import Origin, proxy_for
from crosshaul.config import Config, Destination
from crosshaul.errors import ConfigError


def check_surroundings(config: Config, environ: Mapping[str, str]) -> None:
    """Find what would stop every file: raises ConfigError with all of it, each a line. Blocks; asks no network."""
    faults: dict[str, None] = {}
    for origin in origins(config):
        try:
            proxy_for(origin, environ)
        except ConfigError as error:
            faults |= dict.fromkeys(error.faults)
    for destination in config.destinations.values():
        try:
            _check_trust(config, destination)
        except ConfigError as error:
            faults |= dict.fromkeys(f"destinations.{destination.name}: {fault}" for fault in error.faults)
    if faults:
        raise ConfigError(list(faults))


def _check_trust(config: Config, destination: Destination) -> None:
    """Read what its connections trust, where they use TLS; it is kept for them."""
    profile = config.identity.profile
    if _bucket(destination).scheme == "https":
        tls_contexts.for_bucket(destination, profile)
    if destination.role_arn is not None and _sts(config).scheme == "https":
        tls_contexts.for_identity(profile, destination.tls_ca_bundle)


def origins(config: Config) -> Iterator[Origin]:
    """Where calls go. AWS's own hosts as they are mostly called, which is exact enough for NO_PROXY."""
    for destination in config.destinations.values():
        yield _bucket(destination)
        if destination.role_arn is not None:
            yield _sts(config)


def _sts(config: Config) -> Origin:
    return Origin.of(config.identity.sts_endpoint_url or f"https://sts.{config.identity.region}.amazonaws.com")


def _bucket(destination: Destination) -> Origin:
    if destination.endpoint_url is not None:
        return Origin.of(destination.endpoint_url)
    return Origin("https", f"{destination.bucket}.s3.{destination.region}.amazonaws.com", 443)
