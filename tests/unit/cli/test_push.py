"""Output and exit codes of push and run, with the service replaced."""

import io
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from crosshaul.cli.progress import progress_display
from crosshaul.cli.progress_bar import ProgressBar
from crosshaul.errors import Diagnosis, FaultKind, NotReadyError
from crosshaul.model import Fingerprint, PushProgress, PushSummary, Record, Refusal, Settled, Sighting, State
from support.cli_world import DENIED


def record(number):
    print_ = Fingerprint(1, 1, 1, 1)
    path = b"file-%d\n" % number
    return Record(
        number, "exports", "partner", path, print_, "key", State.QUARANTINED, 1, 1, 0.0, 0.0, 0.0, diagnosis=DENIED
    )


def pushing(monkeypatch, summary=None, preview=()):
    """Replace the service's push; return the list of its calls."""
    calls = []

    async def push(config, routes, watch):
        calls.append(routes)
        watch.tick(PushProgress(3, 1, 0, 5, 10))
        return summary

    async def previewed(config, routes):
        calls.append(routes)
        return list(preview)

    monkeypatch.setitem(sys.modules, "crosshaul.service.push", SimpleNamespace(push=push))
    monkeypatch.setitem(sys.modules, "crosshaul.service.preview", SimpleNamespace(preview=previewed))
    return calls


def test_a_good_push_is_one_line(world, monkeypatch, capsys):
    """A push that delivers everything prints one line on stdout, nothing on stderr, and exits with 0."""
    calls = pushing(monkeypatch, PushSummary(1200, 3, (), 36_175_872, 3.2))
    assert world.run("push", "--route", "exports", "--route", "inner") == 0
    output = capsys.readouterr()
    assert output.out == "Delivered 1,200 files (34.5 MiB) in 3.2 s, 10.8 MiB/s; 3 were delivered before.\n"
    assert output.err == ""
    assert calls == [("exports", "inner")]


def test_a_push_with_nothing_to_do_says_so(world, monkeypatch, capsys):
    """A push without new files prints 0 files, without a rate, and exits with 0."""
    pushing(monkeypatch, PushSummary(0, 1, (), 0, 0.0))
    assert world.run("push") == 0
    assert capsys.readouterr().out == "Delivered 0 files; 1 was delivered before.\n"


def test_failed_files_are_lines_and_code_1(world, monkeypatch, capsys):
    """Up to 20 failed files have a line each with path, error and advice; the others are counted."""
    pushing(monkeypatch, PushSummary(1, 0, tuple(map(record, range(23))), 1, 1.0))
    assert world.run("push") == 1
    output = capsys.readouterr()
    assert output.out.endswith("; 23 files not delivered.\n")
    lines = output.err.splitlines()
    assert len(lines) == 21
    assert lines[0] == f"crosshaul: {world.root}/file-0\\n: {DENIED.line()}"
    assert lines[-1] == "crosshaul: and 3 more: see `crosshaul list`"


def test_a_destination_that_takes_nothing_is_one_line(world, monkeypatch, capsys):
    """A destination's fault is one line with the number of its files, including those that were not tried."""
    refusal = Diagnosis(
        FaultKind.DESTINATION, "NoSuchBucket", "There is no bucket", "PutObject", 404, "REQ2", "Check it."
    )
    silence = Diagnosis(FaultKind.NETWORK, "ConnectTimeout", "Nobody is there", "PutObject")
    untried = replace(record(0), state=State.PENDING, diagnosis=None)
    failed = [untried, *(replace(record(each), diagnosis=refusal) for each in range(1, 3000))]
    failed += [replace(record(9), destination="other", diagnosis=silence), record(7)]
    failed.append(replace(untried, destination="unheard of"))
    pushing(monkeypatch, PushSummary(0, 0, tuple(failed), 0, 1.0))
    assert world.run("push") == 1
    assert capsys.readouterr().err.splitlines() == [
        f"crosshaul: destination partner: {refusal.line()} 3,000 files pending, such as {world.root}/file-1\\n",
        f"crosshaul: destination other: {silence.line()} 1 file pending: {world.root}/file-9\\n",
        f"crosshaul: {world.root}/file-7\\n: {DENIED.line()}",
        f"crosshaul: {world.root}/file-0\\n: it is pending",
    ]


def test_a_dry_run_prints_each_file(world, monkeypatch, capsys):
    """A dry run prints each file with its object, or its refusal; refusals make the code 1."""
    sighting = Sighting("exports", b"a", Fingerprint(1, 1, 1, 1))
    good = Settled(sighting, "partner", "key/a")
    calls = pushing(monkeypatch, preview=[good])
    assert world.run("push", "--dry-run") == 0
    pushing(monkeypatch, preview=[good, Settled(sighting, "partner", "", Refusal("KeyTooLongError", "too long"))])
    assert world.run("push", "--dry-run") == 1
    line = f"{world.root}/a -> s3://partner-bucket/key/a"
    assert capsys.readouterr().out.splitlines() == [line, line, f"{world.root}/a: refused: too long"]
    assert calls == [()]


def test_an_unknown_route_is_a_usage_error(world, monkeypatch, capsys):
    """An unknown route is a usage error with the configured names, before anything runs."""
    calls = pushing(monkeypatch)
    assert world.run("push", "--route", "nope") == 2
    assert "there are: exports, inner" in capsys.readouterr().err
    assert calls == []


def test_the_bar_fits_any_terminal_and_leaves_nothing(world):
    """The bar is one line that fits the terminal, also with odd names, and is removed at the end."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60)
    with ProgressBar(console) as bar:
        bar.tick(PushProgress(2000, 17, 2, 5 * 2**20, 10 * 2**20, ("evil\n\x1b[2J[red]" + "x" * 500,), settling=4))
        bar._progress.refresh()
    output = out.getvalue()
    assert "17/2,000 files" in output
    assert "5.0/10.0" in output
    assert "\x1b[2J" not in output
    assert output.endswith("\x1b[2K") or output.rstrip().endswith("\x1b[2K")


def test_the_bar_is_only_on_a_terminal(monkeypatch):
    """The bar is drawn on a terminal only."""
    with progress_display() as display:
        assert not isinstance(display, ProgressBar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_display() as display:
        assert isinstance(display, ProgressBar)


@pytest.mark.parametrize(
    ("code", "arguments", "asked"), [(0, ["--finish"], (False, True)), (1, ["--require-ready"], (True, False))]
)
def test_run_exits_with_the_daemons_code(world, monkeypatch, code, arguments, asked):
    """The daemon's return value is the exit code, and it gets --require-ready and --finish."""
    seen = []

    async def run(config, file, *, require_ready, finish):
        seen.append((require_ready, finish))
        return code

    monkeypatch.setitem(sys.modules, "crosshaul.service.daemon", SimpleNamespace(run=run))
    monkeypatch.setattr("crosshaul.service.daemon", sys.modules["crosshaul.service.daemon"], raising=False)
    monkeypatch.setattr("crosshaul.telemetry.logs.configure", lambda *_: None)
    monkeypatch.setattr("crosshaul.service.shutdown._after", lambda *_: None)
    assert world.run("run", *arguments) == code
    assert seen == [asked]


def test_run_that_is_not_ready_is_code_3(world, monkeypatch, capsys):
    """NotReadyError is one line and code 3."""

    async def run(config, file, *, require_ready, finish):
        raise NotReadyError("destination partner can't be used")

    monkeypatch.setitem(sys.modules, "crosshaul.service.daemon", SimpleNamespace(run=run))
    monkeypatch.setattr("crosshaul.service.daemon", sys.modules["crosshaul.service.daemon"], raising=False)
    monkeypatch.setattr("crosshaul.telemetry.logs.configure", lambda *_: None)
    monkeypatch.setattr("crosshaul.service.shutdown._after", lambda *_: None)
    assert world.run("run", "--require-ready") == 3
    assert capsys.readouterr().err == "crosshaul: destination partner can't be used\n"
