"""`crosshaul version`: the versions in use, for a bug report."""

from __future__ import annotations

import json
import platform
import re
import ssl
from importlib.metadata import PackageNotFoundError, requires, version

import click

from crosshaul import __version__
from crosshaul.cli.options import json_option
from crosshaul.cli.verb import Verb

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_INDIRECT = ("aiobotocore", "botocore")
"""Dependencies of aioboto3 that do most of its work."""


@click.command(cls=Verb)
@json_option
def command(*, as_json: bool) -> None:
    """Print the versions of Crosshaul, Python, OpenSSL and the libraries in use.

    Exit codes:
      0  always
    """
    openssl, number = ssl.OPENSSL_VERSION.lower().split(maxsplit=1)
    versions = {
        "crosshaul": __version__,
        "python": f"{platform.python_version()} ({platform.platform()})",
        openssl: number,
    }
    versions |= {name: _version(name) for name in (*_direct(), *_INDIRECT)}
    click.echo(
        json.dumps(versions, indent=2)
        if as_json
        else "\n".join(f"{name} {version}" for name, version in versions.items())
    )


def _direct() -> list[str]:
    return [match[0] for line in requires("crosshaul") or [] if (match := _NAME.match(line))]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # only needed on another operating system
        return "not installed"
