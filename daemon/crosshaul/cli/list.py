"""`crosshaul list`: the journal's records, one per line."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from crosshaul.cli.journals import journal_reader
from crosshaul.cli.options import check_routes, config_option, route_names
from crosshaul.cli.paths import place_of, url_of_record
from crosshaul.cli.records import record_json
from crosshaul.cli.verb import Verb
from crosshaul.display import printable
from crosshaul.model import Record, State

if TYPE_CHECKING:
    from crosshaul.config import Config

_STATES = {state.value: state for state in State}


@click.command(cls=Verb)
@config_option
@click.option("--state", type=click.Choice(list(_STATES)), help="Only files in this state.")
@click.option("--route", metavar="NAME", shell_complete=route_names, help="Only files of this route.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def command(config: Config, state: str | None, route: str | None, limit: int | None, *, as_json: bool) -> None:
    """List the files in the journal, one per line, in the order in which they were first seen.

    Each line has the state, the size in bytes, the local path and the object, and the last error if there is one. Works
    with or without a daemon. Names that are not UTF-8 are shown escaped; --json has their bytes as path_base64.

    Examples:
      crosshaul list --state quarantined
      crosshaul list --json | jq -r 'select(.size > 1e9) | .path'

    Exit codes:
      0  listed
      2  bad usage, invalid configuration, or the journal can't be read
    """
    check_routes(config, (route,) if route else ())
    line = _json_line if as_json else _plain_line
    with journal_reader(config.state_dir) as reader:
        for record in reader.records(_STATES[state] if state else None, route, limit) if reader else ():
            sys.stdout.write(line(config, record) + "\n")  # click.echo would flush each line


def _plain_line(config: Config, record: Record) -> str:
    error = f"  ({printable(record.diagnosis.line())})" if record.diagnosis else ""
    place = place_of(config, record.route, record.path)
    return f"{record.state:<11} {record.fingerprint.size:>13}  {place} -> {url_of_record(record)}{error}"


def _json_line(_config: Config, record: Record) -> str:
    return json.dumps(record_json(record))
