"""What the environment adds to the configuration, checked at the start: proxies and certificate authorities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crosshaul.aws import trusted
from crosshaul.config import Config, Destination
from crosshaul.errors import ConfigError
from crosshaul.net import Origin, proxy_for


def check_surroundings(config: Config, environ: Mapping[str, str]) -> None:
    """Find what would stop every file: raises ConfigError with all of it, each a line. Blocks; asks no network."""
    faults: dict[str, None] = {}
    for origin in origins(config):
        try:
            proxy_for(origin, environ)
        except ConfigError as error:
            faults |= dict.fromkeys(error.faults)
    profile = config.identity.profile
    for destination in config.destinations.values():
        try:
            trusted.for_bucket(destination, profile)
            trusted.for_identity(profile, destination.tls_ca_bundle)
        except ConfigError as error:
            faults |= dict.fromkeys(f"destinations.{destination.name}: {fault}" for fault in error.faults)
    if faults:
        raise ConfigError(list(faults))


def origins(config: Config) -> Iterator[Origin]:
    """Where calls go. AWS's own hosts as they are mostly called, which is exact enough for NO_PROXY."""
    region, sts = config.identity.region, config.identity.sts_endpoint_url
    for destination in config.destinations.values():
        yield _bucket(destination)
        if destination.role_arn is not None:
            yield Origin.of(sts or f"https://sts.{region}.amazonaws.com")


def _bucket(destination: Destination) -> Origin:
    if destination.endpoint_url is not None:
        return Origin.of(destination.endpoint_url)
    return Origin("https", f"{destination.bucket}.s3.{destination.region}.amazonaws.com", 443)
