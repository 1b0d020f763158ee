"""Read the connection settings of a profile in the AWS config files: endpoints and certificate authorities.

The AWS SDK reads the other settings. These settings also apply to connections that the SDK does not make.
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
    """The settings of a profile; a missing profile has none."""

    name: str
    ca_bundle: str | None = None
    endpoint_url: str | None = None
    service_endpoints: Mapping[str, str] = field(default_factory=dict)
    """Endpoints by service: ``s3``, ``sts``."""


def read(name: str | None, environ: Mapping[str, str]) -> Profile:
    """Read the profile ``name``, or the one that the environment names (blocking).

    An unreadable file counts as empty: the code that needs its credentials reports the error.
    """
    name = name or next((environ[variable] for variable in _PROFILE_VARIABLES if environ.get(variable)), "default")
    config = _parsed(environ.get("AWS_CONFIG_FILE") or "~/.aws/config")
    secrets = _parsed(environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    values: dict[str, str] = {}
    for section, settings in config.items():
        if section in ({("default",), ("profile", "default")} if name == "default" else {("profile", name)}):
            values |= settings
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
    """Parse a file into sections by the words of their headers: ``[profile "a b"]`` is ("profile", "a b")."""
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read(Path(path).expanduser(), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, RuntimeError):  # RuntimeError: no home directory
        return {}
    sections = {}
    for section in parser.sections():
        try:
            words = tuple(shlex.split(section))
        except ValueError:
            continue
        sections[words] = dict(parser.items(section))
    return sections


def _nested(text: str) -> dict[str, str]:
    """Parse the indented ``key = value`` lines below a key without a value."""
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line]
    return {key.strip(): value.strip() for key, _, value in pairs}
