"""`crosshaul version`: what is running, for a bug report."""

from __future__ import annotations

import platform
import re
import ssl
from importlib.metadata import PackageNotFoundError, requires, version

import click

from crosshaul import __version__
from crosshaul.cli.verb import Verb

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_INSIDE = ("aiobotocore", "botocore")
"""Not asked for by name, but most of what aioboto3 does is theirs."""


@click.command(cls=Verb)
def command() -> None:
    """Print the versions of Crosshaul, Python, OpenSSL and the libraries in use.

    Exit codes:
      0  always
    """
    click.echo(f"crosshaul {__version__}")
    click.echo(f"python {platform.python_version()} ({platform.platform()})")
    click.echo(ssl.OPENSSL_VERSION.lower())
    for name in (*_direct(), *_INSIDE):
        click.echo(f"{name} {_version(name)}")


def _direct() -> list[str]:
    return [found[0] for line in requires("crosshaul") or [] if (found := _NAME.match(line))]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # one that another operating system needs
        return "not installed"
