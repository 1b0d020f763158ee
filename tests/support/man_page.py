"""Generates man/crosshaul.1 from the help of the verbs.

``PYTHONPATH=daemon:tests python tests/support/man_page.py`` writes it;
tests/unit/cli/test_man_page.py checks that it is up to date.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from crosshaul.cli.main import VERBS, crosshaul

PAGE = Path(__file__).parents[2] / "man" / "crosshaul.1"
_HEAD = """.\\" Made from the verbs' own help by tests/support/man_page.py.
.TH CROSSHAUL 1 2026-11-25 Crosshaul "User Commands"
.SH NAME
crosshaul \\- deliver files of watched directories to a partner's S3 bucket"""
_WIDTH = 60
"""Length of a line of prose in the source, before escapes."""
_ENVIRONMENT = {
    "CROSSHAUL_CONFIG": "The configuration file, if not /etc/crosshaul/config.yaml.",
    "CROSSHAUL_CONFIG_YAML": "The configuration itself, as YAML. It overrides CROSSHAUL_CONFIG; -c overrides it.",
    "NO_COLOR": "If set, output has no colours. Output to a pipe never has.",
    "AWS_ACCESS_KEY_ID, AWS_PROFILE, ...": "Account A's credentials, as for all AWS tools.",
    "NOTIFY_SOCKET, WATCHDOG_USEC": "Set by systemd, which receives readiness, status, reloads and progress.",
}
_FILES = {
    "/etc/crosshaul/config.yaml": "The configuration.",
    "/var/lib/crosshaul": "The usual state_dir, with the journal, its lock, and the control socket.",
}
_SIGNALS = {
    "SIGTERM, SIGINT": "The daemon drains and exits; a second signal makes it exit at once.",
    "SIGHUP": "The daemon reloads its configuration.",
}
_SEE_ALSO = "systemd.service(5), and docs/ in the source repository (OPERATIONS, CONFIGURATION, TROUBLESHOOTING)"


def page() -> str:
    """Return the whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    context = click.Context(crosshaul, info_name="crosshaul", help_option_names=["-h", "--help"])
    yield _HEAD
    yield from (".SH SYNOPSIS", ".B crosshaul", _text("VERB [OPTIONS]..."), ".SH DESCRIPTION")
    yield from _prose(crosshaul.help or "")
    yield ".SH VERBS"
    for name in VERBS:
        yield from _verb(context, name)
    for title, entries in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES), ("SIGNALS", _SIGNALS)):
        yield f".SH {title}"
        yield from _entries(entries.items())
    yield from (".SH EXIT STATUS", "Each verb's own are listed with it. All verbs have these:")
    yield from _entries(
        [("2", "Bad usage, or a bad configuration; every fault is a line on stderr."), ("130", "Ctrl-C.")]
    )
    yield from (".SH SEE ALSO", *_filled(_SEE_ALSO))


def _verb(parent: click.Context, name: str) -> Iterator[str]:
    command = crosshaul.get_command(parent, name)
    assert command is not None
    context = click.Context(command, parent=parent, info_name=name)
    yield f".SS {name}"
    yield f".B crosshaul {name}"
    yield _text(" ".join(command.collect_usage_pieces(context)))
    yield ".PP"
    yield from _prose(command.help or "")
    records = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    yield from _entries(records)


def _prose(help_: str) -> Iterator[str]:
    r"""Return paragraphs; those with click's ``\b`` keep their lines."""
    for number, paragraph in enumerate(help_.split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield from (".EX", *map(_text, paragraph.removeprefix("\b\n").splitlines()), ".EE")
        else:
            yield from _filled(paragraph)


def _entries(entries) -> Iterator[str]:
    for head, output in entries:
        yield from (".TP", f"\\fB{_text(head)}\\fR", *_filled(output))


def _filled(words: str) -> Iterator[str]:
    """Wrap text to the line length that linters of man pages accept."""
    return map(_text, textwrap.wrap(words, _WIDTH, break_on_hyphens=False))


def _text(words: str) -> str:
    """Escape text for roff."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return re.sub(r"^\.", r"\\&.", escaped)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
