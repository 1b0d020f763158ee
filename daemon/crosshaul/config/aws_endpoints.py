"""Endpoints from AWS's environment variables and profile, for keys that the configuration leaves out.

They are copied into the configuration, so that every part of the process uses and reports the same endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from crosshaul.config import aws_profile
from crosshaul.config.model import Config
from crosshaul.config.rules import is_loopback
from crosshaul.config.types import check_url
from crosshaul.errors import ConfigError

_IGNORE = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"


@dataclass(frozen=True, slots=True)
class _Endpoint:
    url: str
    setting: str


def with_environment_endpoints(config: Config, environ: Mapping[str, str]) -> Config:
    """Return the configuration with the endpoints that the environment gives; those written in it stay.

    Raises ConfigError for one that is invalid, or that is plain http to another machine, which only the configuration
    itself may choose. Blocks.
    """
    if environ.get(_IGNORE, "").lower() == "true":
        return config
    profile = aws_profile.read(config.identity.profile, environ)
    s3, sts = (_checked(_endpoint(service, environ, profile)) for service in ("s3", "sts"))
    notes = []
    if sts is not None and config.identity.sts_endpoint_url is None:
        identity = config.identity.model_copy(update={"sts_endpoint_url": sts.url})
        config = config.model_copy(update={"identity": identity})
        notes.append(f"STS endpoint {sts.url}, from {sts.setting}")
    if s3 is not None:
        destinations = dict(config.destinations)
        for name, destination in config.destinations.items():
            if destination.endpoint_url is None:
                destinations[name] = destination.model_copy(update={"endpoint_url": s3.url})
                notes.append(f"destination {name}: S3 endpoint {s3.url}, from {s3.setting}")
        config = config.model_copy(update={"destinations": destinations})
    config.note_environment(notes)
    return config


def _endpoint(service: str, environ: Mapping[str, str], profile: aws_profile.Profile) -> _Endpoint | None:
    """Find an endpoint in the SDK's order: the variable of the service, the one for all services, the profile."""
    of_profile = f"the AWS profile {profile.name}"
    settings = (
        (environ.get(f"AWS_ENDPOINT_URL_{service.upper()}"), f"AWS_ENDPOINT_URL_{service.upper()}"),
        (environ.get("AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL"),
        (profile.service_endpoints.get(service), of_profile),
        (profile.endpoint_url, of_profile),
    )
    return next((_Endpoint(url, setting) for url, setting in settings if url), None)


def _checked(endpoint: _Endpoint | None) -> _Endpoint | None:
    if endpoint is None:
        return None
    try:
        url = check_url(endpoint.url)
    except ValueError as error:
        raise ConfigError([f"{endpoint.setting}: {error}"]) from None
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        problem = f"{endpoint.setting}: {url} is plain http to another machine"
        hint = f"set endpoint_url or identity.sts_endpoint_url if that is intended, or {_IGNORE}=true"
        raise ConfigError([f"{problem}; {hint}"])
    return _Endpoint(url, endpoint.setting)
