"""`crosshaul run`: the daemon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from crosshaul.cli.options import config_path_option, load_config
from crosshaul.cli.verb import Verb

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=Verb)
@config_path_option
@click.option(
    "--require-ready",
    is_flag=True,
    help="Exit with code 3 if an identity or destination is unusable at the start. This is tested without a write.",
)
@click.option(
    "--finish",
    is_flag=True,
    help="Before exit rescan and deliver every settled file, within shutdown_timeout.",
)
@click.pass_context
def command(context: click.Context, config_path: Path, *, require_ready: bool, finish: bool) -> None:
    """Watch the routes' directories, and deliver every file once it has settled.

    Runs in the foreground until SIGTERM or Ctrl-C. It then starts no new uploads, finishes those in progress within
    shutdown_timeout, and exits. A second signal ends it at once. No file is lost either way: the journal in state_dir
    records what is delivered, and the next start continues unfinished uploads from their last part. --finish is for
    pods whose volume dies with the daemon: every settled file is delivered before exit. SIGHUP reloads the
    configuration, as `crosshaul reload` does.

    Examples:
      crosshaul run -c /etc/crosshaul/config.yaml
      crosshaul run --require-ready && echo "drained and ended"
      crosshaul run --finish

    Exit codes:
      0  ended after a complete drain
      1  uploads were cut off; the next start continues them (under systemd: 0); with --finish: files are undelivered
      2  the configuration or state_dir can't be used
      3  --require-ready, and an identity or destination is unusable
      4  another instance holds state_dir
     75  state_dir can't be used at the moment (full, read-only): try again later
    """
    from crosshaul.service import daemon  # noqa: PLC0415 - --help does without the AWS libraries
    from crosshaul.service.shutdown import flushing_log  # noqa: PLC0415 - as above
    from crosshaul.telemetry import logs  # noqa: PLC0415 - as above
    from crosshaul.telemetry.fd_limit import raise_descriptor_limit  # noqa: PLC0415 - as above

    config = load_config(config_path)
    logs.configure(config.log.level, config.log.format)
    raise_descriptor_limit()
    with flushing_log():
        context.exit(asyncio.run(daemon.run(config, config_path, require_ready=require_ready, finish=finish)))
