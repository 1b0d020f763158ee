"""Where calls go when the configuration leaves it open: AWS's own variables and profile, as its SDK reads them.

They are read here, into the configuration, so that everything goes by one answer and can say what it is.
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
class _Found:
    url: str
    setting: str


def pointed(config: Config, environ: Mapping[str, str]) -> Config:
    """Return the configuration with the endpoints that the environment gives; those written in it stay.

    Raises ConfigError for one that can't be used, or that is plain http beyond this machine: nobody who reads the
    configuration would know that credentials and files go there in the clear. Blocks.
    """
    if environ.get(_IGNORE, "").lower() == "true":
        return config
    profile = aws_profile.read(config.identity.profile, environ)
    s3, sts = (_checked(_endpoint(service, environ, profile)) for service in ("s3", "sts"))
    told = []
    if sts is not None and config.identity.sts_endpoint_url is None:
        identity = config.identity.model_copy(update={"sts_endpoint_url": sts.url})
        config = config.model_copy(update={"identity": identity})
        told.append(f"STS is asked at {sts.url}, from {sts.setting}")
    if s3 is not None:
        destinations = dict(config.destinations)
        for name, each in config.destinations.items():
            if each.endpoint_url is None:
                destinations[name] = each.model_copy(update={"endpoint_url": s3.url})
                told.append(f"destination {name}: S3 is asked at {s3.url}, from {s3.setting}")
        config = config.model_copy(update={"destinations": destinations})
    config.announce(told)
    return config


def _endpoint(service: str, environ: Mapping[str, str], profile: aws_profile.Profile) -> _Found | None:
    """The SDK's order: the service's own variable, the one for all, and the same in the profile."""
    of_profile = f"the AWS profile {profile.name}"
    settings = (
        (environ.get(f"AWS_ENDPOINT_URL_{service.upper()}"), f"AWS_ENDPOINT_URL_{service.upper()}"),
        (environ.get("AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL"),
        (profile.service_endpoints.get(service), of_profile),
        (profile.endpoint_url, of_profile),
    )
    return next((_Found(url, setting) for url, setting in settings if url), None)


def _checked(found: _Found | None) -> _Found | None:
    if found is None:
        return None
    try:
        url = check_url(found.url)
    except ValueError as error:
        raise ConfigError([f"{found.setting}: {error}"]) from None
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        told = f"{found.setting}: {url} is plain http to another machine"
        advice = f"write it as endpoint_url or identity.sts_endpoint_url if that is meant, or set {_IGNORE}=true"
        raise ConfigError([f"{told}; {advice}"])
    return _Found(url, found.setting)
