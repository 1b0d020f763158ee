"""Check proxies and certificate authorities, which the environment adds to the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crosshaul.aws import tls_contexts
from crosshaul.aws.net import Origin, proxy_for
from crosshaul.config import Config, Destination
from crosshaul.errors import ConfigError


def check_environment(config: Config, environ: Mapping[str, str]) -> None:
    """Raise ConfigError with a line for each setting that would stop every file. Blocks; uses no network."""
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
    """Load the TLS contexts of a destination's connections, which stay cached."""
    profile = config.identity.profile
    if _bucket_origin(destination).scheme == "https":
        tls_contexts.for_bucket(destination, profile)
    if destination.role_arn is not None and _sts_origin(config).scheme == "https":
        tls_contexts.for_identity(profile, destination.tls_ca_bundle)


def origins(config: Config) -> Iterator[Origin]:
    """Yield the origins of all calls. AWS's host names are the usual ones, exact enough for NO_PROXY."""
    for destination in config.destinations.values():
        yield _bucket_origin(destination)
        if destination.role_arn is not None:
            yield _sts_origin(config)


def _sts_origin(config: Config) -> Origin:
    return Origin.of(config.identity.sts_endpoint_url or f"https://sts.{config.identity.region}.amazonaws.com")


def _bucket_origin(destination: Destination) -> Origin:
    if destination.endpoint_url is not None:
        return Origin.of(destination.endpoint_url)
    return Origin("https", f"{destination.bucket}.s3.{destination.region}.amazonaws.com", 443)
