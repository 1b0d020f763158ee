"""`crosshaul status` on real journals."""

import asyncio
import json
import os
import threading

from crosshaul.concurrency.clock import SystemClock
from crosshaul.journal import Journal
from crosshaul.model import DestinationState, DestinationStatus, RouteStatus
from crosshaul.telemetry.health import healthy
from support.cli_world import DENIED


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_status_before_the_first_run_is_zeros(world, capsys):
    """Without a journal all counts are zero, the configured names are shown, and a line says so."""
    assert world.run("status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["pending"], status["daemon"]) == (0, {"running": False, "pid": None})
    assert status["destinations"]["partner"]["state"] == "starting"
    assert status["routes"]["inner"]["watcher"] == "off"
    assert world.run("status") == 0
    assert f"Nothing has run yet: there is no journal in {world.state}." in lines(capsys)


def test_a_journal_that_is_being_created_is_awaited(filled, capsys):
    """A journal that a starting daemon is just creating is read as soon as it is complete."""
    whole = filled.state / "journal.db"
    kept = whole.read_bytes()
    whole.write_bytes(b"")
    thread = threading.Timer(0.2, whole.write_bytes, [kept])
    thread.start()
    assert filled.run("status", "--json") == 0
    thread.join()
    assert json.loads(capsys.readouterr().out)["delivered"] == 1


def test_status_counts_what_the_journal_has(filled, capsys):
    """The JSON has the documented keys with the journal's counts."""
    assert filled.run("status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert [status[key] for key in ("pending", "uploading", "delivered", "quarantined")] == [2, 0, 1, 1]
    assert status["pending_bytes"] == 5 + 7
    assert 0 <= status["oldest_pending_seconds"] < 60
    assert {"state", "credentials_expire_in_seconds", "last_error"} <= status["destinations"]["partner"].keys()
    assert {"pending", "delivered", "quarantined", "watcher", "last_scan_at"} <= status["routes"]["exports"].keys()


def test_status_sees_a_running_daemon(filled, capsys):
    """While a daemon runs its pid is shown."""

    async def beside_a_daemon():
        journal = await Journal.open(filled.state, SystemClock())
        await asyncio.to_thread(filled.run, "status")
        await journal.close()

    asyncio.run(beside_a_daemon())
    assert lines(capsys)[0] == f"The daemon runs (pid {os.getpid()})."


def test_status_is_plain_where_it_is_piped(filled, capsys):
    """In a pipe each route and destination is one line without decoration, however long the error."""

    async def write(journal):
        await journal.save_route(RouteStatus("exports", "scanning only: " + "x" * 300))
        await journal.save_destination(DestinationStatus("partner", DestinationState.PARKED, last_error=DENIED))

    filled.journal(write)
    assert filled.run("status") == 0
    output = lines(capsys)
    assert output[1].startswith(
        "Files: 1 delivered, 0 uploading, 2 pending, 1 quarantined; 12 Bytes pending, the oldest for "
    )
    (route,) = [line for line in output if line.startswith("exports ")]
    assert "x" * 300 in route
    (destination,) = [line for line in output if line.startswith("partner ")]
    assert DENIED.line() in destination
    assert not any(mark in "\n".join(output) for mark in "─│\x1b")


def test_healthy_is_an_exit_code(filled, capsys):
    """`status --healthy` exits with 1 and the reason without a daemon, and with one by the age of the oldest file."""
    assert filled.run("status", "--healthy") == 1
    assert "no daemon is running" in capsys.readouterr().err


def test_healthy_goes_by_the_oldest_file():
    """An old pending file, an unwritable journal and a missing daemon are each unhealthy."""
    well = {"daemon": {"running": True}, "journal": {"error": None}, "oldest_pending_seconds": 10.0}
    assert healthy(well, 60.0).ok
    assert not healthy(well | {"oldest_pending_seconds": 61.0}, 60.0).ok
    assert not healthy(well | {"journal": {"error": "disk full"}}, 60.0).ok
    assert not healthy(well | {"daemon": {"running": False}}, 60.0).ok
