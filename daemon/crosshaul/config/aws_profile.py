"""What a profile of the AWS config files says of connections: where calls go, and whose certificates are trusted.

The AWS SDK reads the rest. These keys hold for connections that are not the SDK's, too.
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PROFILE_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile's settings; a profile that is not there has none."""

    name: str
    ca_bundle: str | None = None
    endpoint_url: str | None = None
    service_endpoints: Mapping[str, str] = field(default_factory=dict)
    """By the service's name: ``s3``, ``sts``."""


def read(name: str | None, environ: Mapping[str, str]) -> Profile:
    """Read the profile ``name``, or the one that the environment names. Blocks.

    A file that can't be read counts as empty: who needs the profile's credentials tells of it.
    """
    name = name or next((environ[each] for each in _PROFILE_VARIABLES if environ.get(each)), "default")
    config = _parsed(environ.get("AWS_CONFIG_FILE") or "~/.aws/config")
    secrets = _parsed(environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    values: dict[str, str] = {}
    for section, found in config.items():
        if section in ({("default",), ("profile", "default")} if name == "default" else {("profile", name)}):
            values |= found
    values |= secrets.get((name,), {})
    services = config.get(("services", values.get("services", "")), {})
    endpoints = {service: _nested(text).get("endpoint_url", "") for service, text in services.items()}
    return Profile(
        name,
        values.get("ca_bundle") or None,
        values.get("endpoint_url") or None,
        {service: url for service, url in endpoints.items() if url},
    )


def _parsed(path: str) -> dict[tuple[str, ...], dict[str, str]]:
    """The sections of a file by their words: ``[profile "a b"]`` is ("profile", "a b")."""
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read(Path(path).expanduser(), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, RuntimeError):  # RuntimeError: there is no home
        return {}
    found = {}
    for section in parser.sections():
        try:
            words = tuple(shlex.split(section))
        except ValueError:
            continue
        found[words] = dict(parser.items(section))
    return found


def _nested(text: str) -> dict[str, str]:
    """The indented ``key = value`` lines below a key that has no value of its own."""
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line]
    return {key.strip(): value.strip() for key, _, value in pairs}
