"""`crosshaul demo`: a complete run against an embedded partner account."""

from __future__ import annotations

import asyncio

import click

from crosshaul.cli.verb import Verb


@click.command(cls=Verb)
def command() -> None:
    """Show a complete run on this machine, without AWS and without questions, in under a minute.

    An embedded partner account (S3 and STS on loopback, as strict as AWS) has a role that requires an external ID. The
    real daemon watches a directory, files are written into it, the credentials are refreshed, and every object is read
    back and compared. Nothing is left behind.

    Examples:
      crosshaul demo

    Exit codes:
      0  every step succeeded
      1  a step failed; a line says which
    """
    from crosshaul.demo import demo  # noqa: PLC0415 - --help does without the AWS libraries

    asyncio.run(demo(click.echo))
