"""`crosshaul wait`: until everything that was there before now is delivered."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import click

from crosshaul.cli.expected import ExpectedFile, ExpectedFiles, expected
from crosshaul.cli.journals import looked_into
from crosshaul.cli.options import config_option, seconds
from crosshaul.cli.progress_display import ProgressDisplay, watching
from crosshaul.cli.verb import Verb
from crosshaul.concurrency.clock import SystemClock
from crosshaul.display import count, duration
from crosshaul.journal.sqlite.reader import Reader
from crosshaul.model import State

if TYPE_CHECKING:
    from crosshaul.config import Config

_POLL = 0.25


@click.command(cls=Verb)
@config_option
@click.option("--timeout", metavar="TIME", callback=seconds, help="Give up after 30s, 10m, ...  [default: never]")
@click.pass_context
def command(context: click.Context, config: Config, timeout: float | None) -> None:
    """Wait until everything that is in the routes' directories now, or on its way already, is delivered.

    Files that appear later are not waited for; one that changes meanwhile is done with when any later state of it is
    delivered; one that disappears is not missed. Where files have markers, one without is not waited for. A terminal is
    shown a progress bar with rate and time left.

    Examples:
      cp report.csv /srv/exports/ && crosshaul wait --timeout 10m && echo "the partner has it"

    Exit codes:
      0  all delivered
      1  the time is up, files are quarantined, or a directory can't be read; a line on stderr says what is left
      2  bad usage, bad configuration, or the journal can't be read
    """
    from crosshaul.discovery.route_plan import plans_of  # noqa: PLC0415 - --help does without pydantic

    began = SystemClock().now()
    wanted = {plan.route: plan for plan in plans_of(config, socket.gethostname())}
    problems: list[str] = []
    with watching() as watch:
        with looked_into(config.state_dir) as reader:
            left = ExpectedFiles(expected(config, wanted, reader, problems), wanted, began)
        for problem in problems:
            _tell(problem)
        code = max(_wait(config, left, timeout, watch), 1 if problems else 0)
    context.exit(max(code, _quarantined(config)))


def _wait(config: Config, left: ExpectedFiles, timeout: float | None, watch: ProgressDisplay) -> int:
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    told = False
    while True:
        with looked_into(config.state_dir) as reader:
            file = left.first_left(reader)
            if file is None:
                return 0
            watch.tick(left.progress(reader))
            if time.monotonic() >= deadline:
                _tell(_time_is_up(file, left.count(reader), timeout or 0.0))
                return 1
            told = told or _tell_if_down(reader)
        time.sleep(min(_POLL, max(0.0, deadline - time.monotonic())))


def _time_is_up(file: ExpectedFile, number: int, timeout: float) -> str:
    verb = "is" if number == 1 else "are"
    left = f"after {duration(timeout)} {count(number, 'file')} {verb} not delivered, such as {file.place}"
    return f"{left}; `crosshaul explain` says why."


def _tell_if_down(reader: Reader | None) -> bool:
    """Say so if no daemon runs; True if it was said."""
    if reader is not None and reader.daemon_pid() is not None:
        return False
    _tell("no daemon is running, and nothing is delivered until one is: `crosshaul run`.")
    return True


def _quarantined(config: Config) -> int:
    with looked_into(config.state_dir) as reader:
        tallies = reader.tallies() if reader else []
    number = sum(tally.files.get(State.QUARANTINED, 0) for tally in tallies)
    if number:
        verb = "is" if number == 1 else "are"
        _tell(f"{count(number, 'file')} {verb} quarantined: `crosshaul list --state quarantined` says why.")
    return 1 if number else 0


def _tell(line: str) -> None:
    click.echo(f"crosshaul: {line}", err=True)
