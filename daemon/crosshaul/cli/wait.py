"""`crosshaul wait`: waits until all present files are delivered."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import click

from crosshaul.cli.awaited_files import ExpectedFile, ExpectedFiles, expected
from crosshaul.cli.journals import journal_reader
from crosshaul.cli.options import config_option, seconds
from crosshaul.cli.progress import ProgressDisplay, progress_display
from crosshaul.cli.verb import Verb
from crosshaul.concurrency.clock import SystemClock
from crosshaul.display import count, duration
from crosshaul.journal import Reader
from crosshaul.model import State

if TYPE_CHECKING:
    from crosshaul.config import Config

_POLL_SECONDS = 0.25


@click.command(cls=Verb)
@config_option
@click.option(
    "--timeout", metavar="TIME", callback=seconds, help="Give up after this time, such as 30s or 10m.  [default: never]"
)
@click.pass_context
def command(context: click.Context, config: Config, timeout: float | None) -> None:
    """Wait until every file that is now in the routes' directories, or already queued, is delivered.

    Files that appear later don't count. A file that changes meanwhile is done when any later state of it is delivered;
    a file that disappears is done. On routes with markers, files without one don't count. A terminal shows a progress
    bar with rate and time left.

    Examples:
      cp report.csv /srv/exports/ && crosshaul wait --timeout 10m && echo "the partner has it"

    Exit codes:
      0  all delivered
      1  time-out, quarantined files, or an unreadable directory; a line on stderr says what is left
      2  bad usage, invalid configuration, or the journal can't be read
    """
    from crosshaul.discovery.route_plan import plans_of  # noqa: PLC0415 - --help does without pydantic

    began = SystemClock().now()
    plans = {plan.route: plan for plan in plans_of(config, socket.gethostname())}
    problems: list[str] = []
    with progress_display() as display:
        with journal_reader(config.state_dir) as reader:
            left = ExpectedFiles(expected(config, plans, reader, problems), plans, began)
        for problem in problems:
            _print(problem)
        code = max(_wait(config, left, timeout, display), 1 if problems else 0)
    context.exit(max(code, _quarantined(config)))


def _wait(config: Config, left: ExpectedFiles, timeout: float | None, display: ProgressDisplay) -> int:
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    warned = False
    while True:
        with journal_reader(config.state_dir) as reader:
            file = left.first_left(reader)
            if file is None:
                return 0
            display.tick(left.progress(reader))
            if time.monotonic() >= deadline:
                _print(_timeout_message(file, left.count(reader), timeout or 0.0))
                return 1
            warned = warned or _warn_if_down(reader)
        time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _timeout_message(file: ExpectedFile, number: int, timeout: float) -> str:
    verb = "is" if number == 1 else "are"
    left = f"after {duration(timeout)} {count(number, 'file')} {verb} not delivered, such as {file.position}"
    return f"{left}; see `crosshaul explain`."


def _warn_if_down(reader: Reader | None) -> bool:
    """Print a warning if no daemon runs; return whether one was printed."""
    if reader is not None and reader.daemon_pid() is not None:
        return False
    _print("no daemon is running, so nothing is delivered: start one with `crosshaul run`.")
    return True


def _quarantined(config: Config) -> int:
    with journal_reader(config.state_dir) as reader:
        tallies = reader.route_counts() if reader else []
    number = sum(tally.count(State.QUARANTINED) for tally in tallies)
    if number:
        verb = "is" if number == 1 else "are"
        _print(f"{count(number, 'file')} {verb} quarantined; see `crosshaul list --state quarantined`.")
    return 1 if number else 0


def _print(line: str) -> None:
    click.echo(f"crosshaul: {line}", err=True)
