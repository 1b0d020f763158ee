"""What push and run say and how they end; what they do is the business of the modules that they call."""

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
from support.cli_world import DENIED, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def record(number):
    print_ = Fingerprint(1, 1, 1, 1)
    path = b"file-%d\n" % number
    return Record(
        number, "exports", "partner", path, print_, "key", State.QUARANTINED, 1, 1, 0.0, 0.0, 0.0, diagnosis=DENIED
    )


def pushing(monkeypatch, summary=None, preview=()):
    """Stands in for the AWS side of a push; gives the calls it got."""
    calls = []

    async def push(config, routes, watch):
        calls.append(routes)
        watch.tick(PushProgress(3, 1, 0, 5, 10))
        return summary

    async def previewed(config, routes):
        calls.append(routes)
        return list(preview)

    monkeypatch.setitem(sys.modules, "crosshaul.service.push", SimpleNamespace(push=push, preview=previewed))
    return calls


def test_a_good_push_is_one_line(world, monkeypatch, capsys):
    """All delivered: figures in one line on stdout, nothing on stderr, code 0."""
    calls = pushing(monkeypatch, PushSummary(1200, 3, (), 36_175_872, 3.2))
    assert world.run("push", "--route", "exports", "--route", "inner") == 0
    told = capsys.readouterr()
    assert told.out == "Delivered 1,200 files (34.5 MiB) in 3.2 s, 10.8 MiB/s; 3 were delivered before.\n"
    assert told.err == ""
    assert calls == [("exports", "inner")]


def test_a_push_with_nothing_to_do_says_so(world, monkeypatch, capsys):
    """Nothing new is 0 files and code 0, without a rate."""
    pushing(monkeypatch, PushSummary(0, 1, (), 0, 0.0))
    assert world.run("push") == 0
    assert capsys.readouterr().out == "Delivered 0 files; 1 was delivered before.\n"


def test_failed_files_are_lines_and_code_1(world, monkeypatch, capsys):
    """Up to 20 failed files have a line with path, reason and advice each; the rest is a number."""
    pushing(monkeypatch, PushSummary(1, 0, tuple(map(record, range(23))), 1, 1.0))
    assert world.run("push") == 1
    told = capsys.readouterr()
    assert told.out.endswith("; 23 files not delivered.\n")
    lines = told.err.splitlines()
    assert len(lines) == 21
    assert lines[0] == f"crosshaul: {world.root}/file-0\\n: {DENIED.line()}"
    assert lines[-1] == "crosshaul: and 3 more: see `crosshaul list`"


def test_a_destination_that_takes_nothing_is_one_line(world, monkeypatch, capsys):
    """What the destination is to blame for is told once, with the number of files, those not even tried included."""
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


def test_a_dry_run_says_what_would_go_where(world, monkeypatch, capsys):
    """Each file is a line with its object, or why it can't go; refusals make it code 1."""
    sighting = Sighting("exports", b"a", Fingerprint(1, 1, 1, 1))
    good = Settled(sighting, "partner", "key/a")
    calls = pushing(monkeypatch, preview=[good])
    assert world.run("push", "--dry-run") == 0
    pushing(monkeypatch, preview=[good, Settled(sighting, "partner", "", Refusal("KeyTooLongError", "too long"))])
    assert world.run("push", "--dry-run") == 1
    line = f"{world.root}/a -> s3://partner-bucket/key/a"
    assert capsys.readouterr().out.splitlines() == [line, line, f"{world.root}/a: refused: too long"]
    assert calls == [()]


def test_an_unknown_route_is_told_before_anything_runs(world, monkeypatch, capsys):
    """A route that isn't configured is a usage error with the known names."""
    calls = pushing(monkeypatch)
    assert world.run("push", "--route", "nope") == 2
    assert "there are: exports, inner" in capsys.readouterr().err
    assert calls == []


def test_the_bar_fits_any_terminal_and_leaves_nothing(world):
    """On a terminal the bar is one line that fits, odd names included, and is gone at the end."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60)
    with ProgressBar(console) as bar:
        bar.tick(PushProgress(2000, 17, 2, 5 * 2**20, 10 * 2**20, ("evil\n\x1b[2J[red]" + "x" * 500,), settling=4))
        bar._progress.refresh()
    told = out.getvalue()
    assert "17/2,000 files" in told
    assert "5.0/10.0" in told
    assert "\x1b[2J" not in told
    assert told.endswith("\x1b[2K") or told.rstrip().endswith("\x1b[2K")


def test_the_bar_is_only_on_a_terminal(monkeypatch):
    """Off a terminal nothing is drawn."""
    with progress_display() as display:
        assert not isinstance(display, ProgressBar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_display() as display:
        assert isinstance(display, ProgressBar)


@pytest.mark.parametrize(
    ("code", "arguments", "asked"), [(0, ["--finish"], (False, True)), (1, ["--require-ready"], (True, False))]
)
def test_run_ends_with_the_daemon_s_own_code(world, monkeypatch, code, arguments, asked):
    """The daemon's return value is the exit code, and --require-ready and --finish reach it."""
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
