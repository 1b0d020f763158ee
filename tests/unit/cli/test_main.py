"""The command itself: fast help, exit codes, one line per fault, never a traceback."""

import os
import re
import subprocess
import sys

import click
import pytest

from crosshaul import __version__
from crosshaul.cli import journals, main
from crosshaul.errors import ConfigError, LockedError, StateDirError


def verb_that_raises(monkeypatch, error):
    @click.command
    def command():
        raise error

    monkeypatch.setattr(main._Verbs, "get_command", lambda _group, _context, _name: command)


def test_help_lists_every_verb(capsys):
    """``crosshaul --help`` names each verb and what it does."""
    assert main.run(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(
        re.search(rf"^  {verb} +{re.escape(does[:40])}", output, re.MULTILINE) for verb, does in main.VERBS.items()
    )


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_has_help(verb, capsys):
    """Each verb's help has its exit codes with their line breaks, and the usual verbs have examples."""
    assert main.run([verb, "--help"]) == 0
    output = capsys.readouterr().out
    assert "\n  Exit codes:\n    0  " in output
    assert ("\n  Examples:\n    " in output) == (verb != "version")


def test_version_in_one_line_and_in_full(capsys):
    """``--version`` prints name and version; the verb adds Python, OpenSSL and the libraries."""
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"crosshaul {__version__}\n"
    assert main.run(["version"]) == 0
    output = capsys.readouterr().out
    for name in ("python 3.", "openssl ", "aioboto3 ", "botocore ", "pydantic ", "awscrt "):
        assert f"\n{name}" in output


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["status", "--frobnicate"], ["explain"], ["list", "--limit", "0"]]
)
def test_bad_usage_is_code_2(arguments, capsys):
    """Unknown verbs and options, missing arguments and impossible values end with 2 and a usage line."""
    assert main.run(arguments) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigError(["a: is wrong", "b: is wrong"]), 2, ["crosshaul: a: is wrong", "crosshaul: b: is wrong"]),
        (LockedError("held by pid 7"), 4, ["crosshaul: held by pid 7"]),
        (ExceptionGroup("x", [ExceptionGroup("y", [StateDirError("full")])]), 2, ["crosshaul: full"]),
    ],
)
def test_errors_are_lines_with_their_exit_code(monkeypatch, capsys, error, code, lines):
    """Each line of a CrosshaulError, also in a group, is a line on stderr; its exit code is the process's."""
    verb_that_raises(monkeypatch, error)
    assert main.run(["x"]) == code
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize("error", [ValueError("a bug"), ExceptionGroup("x", [StateDirError("y"), ValueError("a bug")])])
def test_a_bug_is_raised(monkeypatch, error):
    """Any other exception, alone or in a group, is raised: it is a bug."""
    verb_that_raises(monkeypatch, error)
    with pytest.raises((ValueError, ExceptionGroup)):
        main.run(["x"])


def test_an_interrupt_is_130(monkeypatch):
    """Ctrl-C exits with 130 and no traceback; an EOFError is raised."""
    verb_that_raises(monkeypatch, KeyboardInterrupt())
    assert main.run(["x"]) == 130
    verb_that_raises(monkeypatch, EOFError("a bug"))
    with pytest.raises(EOFError):
        main.run(["x"])


def test_a_reader_that_leaves_is_no_error(world):
    """``crosshaul list | head -1`` prints nothing on stderr when the pipe closes."""
    world.admit(*(world.file(f"file-{number:04}") for number in range(1000)))
    command = f"{sys.executable} -c 'from crosshaul.cli.main import main; main()' list -c {world.config} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_reader_that_never_listened_is_no_error(world):
    """A pipe that closes before a short output is flushed is no error either."""
    world.admit(world.file("a"))
    reading, writing = os.pipe()
    os.close(reading)
    code = "from crosshaul.cli.main import main; main()"
    command = [sys.executable, "-c", code, "list", "-c", str(world.config)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, env=buffered, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("verb", ["run", "push", "validate", "status", "list", "wait", "retry"])
def test_a_broken_configuration_is_lines_and_code_2(world, verb, capsys):
    """Every verb prints each fault of the configuration as a line, with code 2."""
    world.config.write_text("state_dir: 7\nnonsense: 1\n")
    assert world.run(verb) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith(f"crosshaul: {world.config}:") for line in lines)


def test_the_process_exits_with_the_code(world):
    """The process exits with the error's code, without a traceback."""
    world.config.write_text("state_dir: 7\n")
    done = world.process("run")
    assert done.returncode == 2
    assert done.stderr.startswith("crosshaul: ")
    assert "Traceback" not in done.stderr


def test_a_missing_configuration_is_one_line(world):
    """A configuration file that is missing, or is a directory, is one line with code 2."""
    for wrong in (world.root, world.root / "none.yaml"):
        done = world.process("validate", "-c", str(wrong))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert str(wrong) in done.stderr


def test_a_terminal_that_knows_few_letters_is_no_error(world):
    """A character that standard output can't encode is escaped."""
    world.admit(world.file("caf\u00e9"))
    done = world.process("list", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "caf\\xe9 ->" in done.stdout


def test_validate_counts_what_it_read(world, capsys):
    """A valid file is one line with the number of routes and destinations, also by CROSSHAUL_CONFIG."""
    assert world.run("validate") == 0
    output = f"{world.config}: configuration is valid: 2 routes, 1 destination\n"
    assert capsys.readouterr().out == output
    assert world.process("validate").stdout == output


def test_the_configuration_may_stand_in_the_environment(world):
    """CROSSHAUL_CONFIG_YAML contains the configuration; it overrides CROSSHAUL_CONFIG, and -c overrides it."""
    output = world.process("validate", CROSSHAUL_CONFIG_YAML=world.config.read_text()).stdout
    assert output == "CROSSHAUL_CONFIG_YAML: configuration is valid: 2 routes, 1 destination\n"
    wrong = world.process("status", CROSSHAUL_CONFIG_YAML="state_dir: 7\n")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("crosshaul: CROSSHAUL_CONFIG_YAML:1: state_dir: ")
    assert world.process("validate", "-c", str(world.config), CROSSHAUL_CONFIG_YAML="x").returncode == 0


@pytest.mark.parametrize("verb", ["status", "list", "wait", "retry"])
def test_an_unreadable_journal_is_one_line(world, verb, capsys, monkeypatch):
    """A damaged journal is one line with code 2 for each verb that reads it."""
    monkeypatch.setattr(journals, "_OPEN_TIMEOUT_SECONDS", 0.0)
    world.state.mkdir(mode=0o700)
    (world.state / "journal.db").write_bytes(b"no database" * 1000)
    assert world.run(verb) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("crosshaul: ")
