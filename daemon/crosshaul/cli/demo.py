"""`crosshaul demo`: the whole story on an embedded partner account."""

from __future__ import annotations

import asyncio

import click

from crosshaul.cli.verb import Verb


@click.command(cls=Verb)
def command() -> None:
    """Show everything at work on this machine, without AWS and without questions, in under a minute.

    An embedded partner account (S3 and STS on loopback, as strict as AWS) has a role that demands an external ID. The
    real daemon watches a directory, files are dropped into it, the credentials are refreshed, and every object is read
    back and compared. Nothing is left behind.

    Examples:
      crosshaul demo

    Exit codes:
      0  all came out as promised
      1  something did not; the line says what
    """
    from crosshaul.demo import demo  # noqa: PLC0415 - --help does without the AWS libraries

    asyncio.run(demo(click.echo))
