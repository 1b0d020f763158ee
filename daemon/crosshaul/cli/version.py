"""`crosshaul version`: what is running, for a bug report."""

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
_INSIDE = ("aiobotocore", "botocore")
"""Not asked for by name, but most of what aioboto3 does is theirs."""


@click.command(cls=Verb)
@json_option
def command(*, as_json: bool) -> None:
    """Print the versions of Crosshaul, Python, OpenSSL and the libraries in use.

    Exit codes:
      0  always
    """
    openssl, number = ssl.OPENSSL_VERSION.lower().split(maxsplit=1)
    told = {"crosshaul": __version__, "python": f"{platform.python_version()} ({platform.platform()})", openssl: number}
    told |= {name: _version(name) for name in (*_direct(), *_INSIDE)}
    click.echo(json.dumps(told, indent=2) if as_json else "\n".join(f"{name} {each}" for name, each in told.items()))


def _direct() -> list[str]:
    return [found[0] for line in requires("crosshaul") or [] if (found := _NAME.match(line))]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # one that another operating system needs
        return "not installed"
