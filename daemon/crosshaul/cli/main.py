"""The command `crosshaul`: runs a verb, and turns errors into lines and an exit code."""

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

# The summaries are here, and not in each verb's module, because importing all of these would make --help slow.
VERBS = {
    "run": "Run the daemon: watch, and deliver every file.",
    "push": "Deliver the present files once, then exit.",
    "validate": "Check the configuration, offline.",
    "check": "Try each step into the partner's bucket.",
    "policy": "Print the policies that each account's admin has to apply.",
    "status": "Show what is delivered and what is pending.",
    "list": "List the journal, file by file.",
    "explain": "Explain why a file is, or is not yet, in the bucket.",
    "retry": "Put quarantined files back in the queue.",
    "resend": "Send delivered files again.",
    "reload": "Apply a changed configuration.",
    "pause": "Pause routes.",
    "resume": "Resume paused routes.",
    "limit": "Change the bandwidth limit of the running daemon.",
    "wait": "Wait until all present files are delivered.",
    "completion": "Print the completion script for a shell.",
    "demo": "Show a complete run on this machine, without AWS.",
    "version": "Print the versions of Crosshaul and its libraries.",
}
_INTERRUPTED = 130
_OUTPUT_FAILED = 1


class _Verbs(click.Group):
    """Imports a verb's module when the verb is run, not for the list in --help."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        return cast("click.Command", import_module(f"crosshaul.cli.{name}").command)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        verbs = [CompletionItem(name, help=summary) for name, summary in VERBS.items() if name.startswith(incomplete)]
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

    The configuration is YAML: the file of -c; else the text in the environment variable CROSSHAUL_CONFIG_YAML; else the
    file that CROSSHAUL_CONFIG names; else /etc/crosshaul/config.yaml.
    """


def main() -> NoReturn:
    """Run the command line, and end the process."""
    gc.set_threshold(20_000, 20, 20)  # the default of 700 objects costs a tenth of the start-up time
    _replace_closed_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does by default
    _exit(run(sys.argv[1:]))


def _exit(code: int) -> NoReturn:
    """End the process at once: cleaning up takes 50 ms, and waits for threads that hang in a file system."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _replace_closed_streams() -> None:
    """Open /dev/null for standard streams that are closed (``>&-``), so that no other file gets their numbers."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            _redirect_to_null(number)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open


def _redirect_to_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; return the exit code. Crosshaul's own errors are lines on stderr, never tracebacks."""
    try:
        code = crosshaul.main(list(arguments), prog_name="crosshaul", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        return _usage_error(error)
    except click.Abort as abort:
        return _interrupted(abort)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except OSError as error:
        return _output_error(error)
    except (CrosshaulError, BaseExceptionGroup) as error:
        return _print_errors(error)
    return code if isinstance(code, int) else 0


def _interrupted(abort: click.Abort) -> int:
    """Return the code of Ctrl-C; click also turns an EOFError, which is a bug, into an Abort."""
    if isinstance(abort.__cause__, EOFError):
        raise abort.__cause__
    return _INTERRUPTED


def _broken_pipe() -> int:
    """Drop the buffered output: its reader (head, less) has exited."""
    _redirect_to_null(sys.stdout.fileno())
    return _OUTPUT_FAILED


def _output_error(error: OSError) -> int:
    """Report that standard output can't be written (a full disk). Any other OSError is a bug, and raised."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as again:
        if again.errno == error.errno:
            click.echo(f"crosshaul: the output can't be written: {again.strerror}. Redirect it elsewhere.", err=True)
            _redirect_to_null(sys.stdout.fileno())
            return _OUTPUT_FAILED
    raise error


def _usage_error(error: click.ClickException) -> int:
    """Print click's message with control characters escaped, since it quotes arguments."""
    message = StringIO()
    error.show(message)
    for line in message.getvalue().splitlines():
        click.echo(printable(line), err=True)
    return error.exit_code


def _print_errors(error: CrosshaulError | BaseExceptionGroup) -> int:
    """Print a line for each error. A group with an error that is not Crosshaul's own is a bug, and raised."""
    errors = list(_leaves(error))
    for line in dict.fromkeys(line for error in errors for line in str(error).splitlines()):
        click.echo(f"crosshaul: {printable(line)}", err=True)
    return errors[0].exit_code


def _leaves(error: BaseException) -> Iterator[CrosshaulError]:
    if isinstance(error, CrosshaulError):
        yield error
    elif isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        raise error
