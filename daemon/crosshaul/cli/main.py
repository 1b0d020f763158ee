"""The command `crosshaul`: finds the verb, runs it, and turns what went wrong into lines and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from io import StringIO, TextIOWrapper
from typing import NoReturn, cast

import click
from click.shell_completion import CompletionItem

from crosshaul import __version__
from crosshaul.display import printable
from crosshaul.errors import CrosshaulError

# Told here as well as in each verb's own file, because importing those would make --help slow.
VERBS = {
    "run": "The daemon: watch, and deliver for ever.",
    "push": "Deliver once what is there now, then end.",
    "validate": "Check the configuration, offline.",
    "check": "Try the way into the partner's bucket, step by step.",
    "policy": "What each account's admin has to apply.",
    "status": "How much is delivered, and what waits.",
    "list": "The journal, file by file.",
    "explain": "Why a file is, or is not yet, in the bucket.",
    "retry": "Put quarantined files back in the queue.",
    "resend": "Send delivered files again.",
    "reload": "Bring a changed configuration into force.",
    "pause": "Send nothing more for now.",
    "resume": "Send again.",
    "limit": "Give sending less of the line, or all of it.",
    "wait": "Until everything that is there now is delivered.",
    "completion": "Teach a shell to complete all this.",
    "demo": "See it at work on this machine, without AWS.",
    "version": "The versions of Crosshaul and of what it uses.",
}
_INTERRUPTED = 130
_BROKEN_PIPE = 1
_UNWRITTEN = 1


class _Verbs(click.Group):
    """Imports a verb's module when the verb is run, and not for the list in --help."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        return cast("click.Command", import_module(f"crosshaul.cli.{name}").command)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        verbs = [CompletionItem(name, help=told) for name, told in VERBS.items() if name.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, context, incomplete)]

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_Verbs,
    subcommand_metavar="VERB [OPTIONS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`crosshaul VERB --help` has examples and exit codes.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def crosshaul() -> None:
    """Deliver the files of watched directories to an S3 bucket in a partner's AWS account.

    What is delivered, and where to, stands in a YAML file: -c FILE, or the variable CROSSHAUL_CONFIG, or
    /etc/crosshaul/config.yaml. The variable CROSSHAUL_CONFIG_YAML may hold the YAML itself.
    """


def main() -> NoReturn:
    """Run what the command line says, and end the process."""
    gc.set_threshold(20_000, 20, 20)  # after every 700 objects, as it comes, it takes a tenth of the start
    _replace_closed_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does of itself
    _leave(run(sys.argv[1:]))


def _leave(code: int) -> NoReturn:
    """End here and now: tidying up a process that ends takes 50 ms, and waits for threads that a file system holds."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _replace_closed_streams() -> None:
    """What whoever started us has closed (``>&-``) goes nowhere, and no file of ours gets its number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            _send_nowhere(number)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open


def _send_nowhere(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit code. Errors that are ours are lines on stderr, never tracebacks."""
    try:
        code = crosshaul.main(list(arguments), prog_name="crosshaul", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        return _misused(error)
    except click.Abort as abort:
        return _interrupted(abort)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _without_reader()
    except OSError as error:
        return _unwritten(error)
    except (CrosshaulError, BaseExceptionGroup) as error:
        return _complain(error)
    return code if isinstance(code, int) else 0


def _interrupted(abort: click.Abort) -> int:
    """Click makes an Abort of Ctrl-C, but also of any EOFError, which is no wish of the user's."""
    if isinstance(abort.__cause__, EOFError):
        raise abort.__cause__
    return _INTERRUPTED


def _without_reader() -> int:
    """Whoever read our output (head, less) has left: what is still buffered goes nowhere, quietly."""
    _send_nowhere(sys.stdout.fileno())
    return _BROKEN_PIPE


def _unwritten(error: OSError) -> int:
    """Standard output takes nothing (its disk is full, say). Any other such error is a bug, and raised."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as again:
        if again.errno == error.errno:
            click.echo(f"crosshaul: the output can't be written: {again.strerror}. Send it elsewhere.", err=True)
            _send_nowhere(sys.stdout.fileno())
            return _UNWRITTEN
    raise error


def _misused(error: click.ClickException) -> int:
    """Click's own words, without what an argument that they quote could do to the terminal."""
    told = StringIO()
    error.show(told)
    for line in told.getvalue().splitlines():
        click.echo(printable(line), err=True)
    return error.exit_code


def _complain(error: CrosshaulError | BaseExceptionGroup) -> int:
    """One line for each thing that is wrong; a group with anything that is not ours in it is a bug, and raised."""
    ours = list(_leaves(error))
    for line in dict.fromkeys(line for each in ours for line in str(each).splitlines()):
        click.echo(f"crosshaul: {printable(line)}", err=True)
    return ours[0].exit_code


def _leaves(error: BaseException) -> Iterator[CrosshaulError]:
    if isinstance(error, CrosshaulError):
        yield error
    elif isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        raise error
