"""The verbs that read and write the journal: status, list, explain and retry, on real journals."""

import asyncio
import base64
import json
import os
import threading

import pytest

from crosshaul.concurrency.clock import SystemClock
from crosshaul.journal import Journal, Reader
from crosshaul.model import DestinationState, DestinationStatus, RouteStatus, State
from crosshaul.telemetry.health import healthy
from support.cli_world import DENIED, World, delivered, quarantined


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def filled(world):
    """``a`` is delivered, ``b`` quarantined, ``c`` and an odd name pending."""
    world.admit(world.file("a"), outcome=delivered)
    world.admit(world.file("b"), outcome=quarantined)
    world.admit(world.file("c", b"12345"), world.file(b"odd\xff\n"))
    return world


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_status_before_the_first_run_is_zeros(world, capsys):
    """With no journal everything is zero, configured names show, and people are told that nothing has run yet."""
    assert world.run("status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["pending"], status["daemon"]) == (0, {"running": False, "pid": None})
    assert status["destinations"]["partner"]["state"] == "starting"
    assert status["routes"]["inner"]["watcher"] == "off"
    assert world.run("status") == 0
    assert f"Nothing has run yet: there is no journal in {world.state}." in lines(capsys)


def test_a_journal_in_the_making_is_waited_for(filled, capsys):
    """A journal whose file a starting daemon has only just made is read as soon as it is whole."""
    whole = filled.state / "journal.db"
    kept = whole.read_bytes()
    whole.write_bytes(b"")
    thread = threading.Timer(0.2, whole.write_bytes, [kept])
    thread.start()
    assert filled.run("status", "--json") == 0
    thread.join()
    assert json.loads(capsys.readouterr().out)["delivered"] == 1


def test_status_counts_what_the_journal_has(filled, capsys):
    """The JSON has the contracted keys with the journal's counts."""
    assert filled.run("status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert [status[key] for key in ("pending", "uploading", "delivered", "quarantined")] == [2, 0, 1, 1]
    assert status["pending_bytes"] == 5 + 7
    assert 0 <= status["oldest_pending_seconds"] < 60
    assert {"state", "credentials_expire_in_seconds", "last_error"} <= status["destinations"]["partner"].keys()
    assert {"pending", "delivered", "quarantined", "watcher", "last_scan_at"} <= status["routes"]["exports"].keys()


def test_status_sees_a_running_daemon(filled, capsys):
    """While a process holds the journal its pid is told."""

    async def beside_a_daemon():
        journal = await Journal.open(filled.state, SystemClock())
        await asyncio.to_thread(filled.run, "status")
        await journal.close()

    asyncio.run(beside_a_daemon())
    assert lines(capsys)[0] == f"The daemon runs (pid {os.getpid()})."


def test_status_is_plain_where_it_is_piped(filled, capsys):
    """Piped, each route and destination is one whole line without decoration, however long the error."""

    async def write(journal):
        await journal.save_route(RouteStatus("exports", "scanning only: " + "x" * 300))
        await journal.save_destination(DestinationStatus("partner", DestinationState.PARKED, last_error=DENIED))

    filled.journal(write)
    assert filled.run("status") == 0
    told = lines(capsys)
    assert told[1].startswith(
        "Files: 1 delivered, 0 uploading, 2 pending, 1 quarantined; 12 Bytes pending, the oldest for "
    )
    (route,) = [line for line in told if line.startswith("exports ")]
    assert "x" * 300 in route
    (destination,) = [line for line in told if line.startswith("partner ")]
    assert DENIED.line() in destination
    assert not any(mark in "\n".join(told) for mark in "─│\x1b")


def test_healthy_is_an_exit_code(filled, capsys):
    """Without a daemon it is 1 and says why; with one it depends on how long the oldest file has waited."""
    assert filled.run("status", "--healthy") == 1
    assert "no daemon is running" in capsys.readouterr().err


def test_healthy_goes_by_the_oldest_file():
    """Too old a file, a journal that can't be written and a daemon that isn't there each make it a no."""
    well = {"daemon": {"running": True}, "journal": {"error": None}, "oldest_pending_seconds": 10.0}
    assert healthy(well, 60.0).ok
    assert not healthy(well | {"oldest_pending_seconds": 61.0}, 60.0).ok
    assert not healthy(well | {"journal": {"error": "disk full"}}, 60.0).ok
    assert not healthy(well | {"daemon": {"running": False}}, 60.0).ok


def test_list_is_a_line_per_file(filled, capsys):
    """Each record is one line with state, size, path, object and reason; odd names can't break it."""
    assert filled.run("list") == 0
    told = lines(capsys)
    assert len(told) == 4
    assert told[0].split() == ["delivered", "7", f"{filled.root}/a", "->", "s3://partner-bucket/a"]
    assert told[1].endswith(f"({DENIED.line()})")
    assert f"{filled.root}/odd\\xff\\n -> " in told[3]


def test_list_as_json_has_everything(filled, capsys):
    """``--json`` is an object per line with receipt, error and, for odd names, the bytes."""
    assert filled.run("list", "--json") == 0
    first, second, _, odd = map(json.loads, lines(capsys))
    assert (first["state"], first["bucket"], first["key"], first["size"]) == ("delivered", "partner-bucket", "a", 7)
    assert first["receipt"]["checksum"] == {"kind": "CRC64NVME", "value": "AAAAAAAAAAA="}
    assert "path_base64" not in first
    assert (second["error"]["code"], second["error"]["advice"]) == ("KeyTooLongError", "Shorten the path.")
    assert base64.b64decode(odd["path_base64"]) == b"odd\xff\n"


def test_list_can_be_narrowed(filled, capsys):
    """By state, route and number; an unknown route is a usage error that names the known ones."""
    assert filled.run("list", "--state", "quarantined") == 0
    assert len(lines(capsys)) == 1
    assert filled.run("list", "--limit", "2") == 0
    assert len(lines(capsys)) == 2
    assert filled.run("list", "--route", "inner") == 0
    assert lines(capsys) == []
    assert filled.run("list", "--route", "nope") == 2
    assert "there is no route nope; there are: exports, inner." in capsys.readouterr().err


def test_nothing_shows_a_secret(filled, capsys):
    """The external ID appears in no verb's output."""
    for arguments in (
        ["status"],
        ["status", "--json"],
        ["list", "--json"],
        ["validate"],
        ["explain", filled.root / "a"],
    ):
        filled.run(*arguments)
    out = capsys.readouterr()
    assert "hush-hush" not in out.out + out.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a", "was delivered at"),
        ("b", "was quarantined at"),
        ("c", "is pending: it goes to s3://partner-bucket/c"),
        ("none", "does not exist"),
        ("new.tmp", "is left out by the patterns"),
        ("inner", "is a directory"),
        ("fresh", "is not in the journal yet. It is settling: it changed"),
    ],
)
def test_explain_gathers_the_facts(filled, capsys, name, words):
    """Record, stat, patterns and daemon come together in the story."""
    (filled.root / "new.tmp").touch()
    (filled.root / "fresh").touch()
    assert filled.run("explain", filled.root / name) == 0
    assert words in lines(capsys)[0]


def test_explain_knows_excluded_directories_and_inner_routes(world, capsys):
    """A file below an excluded directory is left out; one in the inner route is told by that route."""
    (world.root / "old.tmp").mkdir()
    (world.root / "old.tmp" / "file").touch()
    world.run("explain", world.root / "old.tmp" / "file")
    assert "is left out by the patterns of route exports" in lines(capsys)[0]
    world.run("explain", world.root / "inner" / "none")
    assert "(route inner)" in lines(capsys)[0]


def test_explain_elsewhere_says_what_is_watched(world, tmp_path, capsys):
    """A path in no route is code 2 with the watched directories."""
    assert world.run("explain", tmp_path / "elsewhere") == 2
    assert f"The routes' directories are: {world.root} (exports)" in capsys.readouterr().err


def state_of(world, name):
    with Reader.open(world.state) as reader:
        record = reader.find("exports", name)
        assert record is not None
        return record.state


def test_retry_puts_back_what_is_quarantined(filled, capsys):
    """All quarantined files go back, and it is said how many and that no daemon runs."""
    assert filled.run("retry") == 0
    assert lines(capsys) == [
        "1 file went back in the queue. No daemon is running: `crosshaul run` or `crosshaul push` sends them."
    ]
    assert state_of(filled, b"b") is State.PENDING
    assert filled.run("retry") == 0
    assert lines(capsys) == ["0 files went back in the queue."]


def test_retry_of_named_files_tells_which_are_not_quarantined(filled, capsys):
    """Only the named files go back; a delivered one among them is mentioned and left alone."""
    assert filled.run("retry", filled.root / "a", filled.root / "b") == 0
    assert "1 file went back in the queue. 1 given file is not quarantined" in lines(capsys)[0]
    assert state_of(filled, b"a") is State.DELIVERED


def test_retry_of_a_file_elsewhere_changes_nothing(filled, tmp_path):
    """One path in no route is a usage error, and none of the others is touched."""
    assert filled.run("retry", filled.root / "b", tmp_path / "elsewhere") == 2
    assert state_of(filled, b"b") is State.QUARANTINED


def test_retry_before_the_first_run_is_no_error(world, capsys):
    """With no journal there is nothing to put back, which is fine."""
    assert world.run("retry") == 0
    assert lines(capsys) == ["No file is quarantined: there is no journal yet."]
