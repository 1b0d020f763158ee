"""With --json each verb prints JSON and nothing else on stdout."""

import json
import sys
from types import SimpleNamespace

from crosshaul import __version__
from crosshaul.journal import Reader
from crosshaul.model import PushSummary, Refusal, Settled
from support.cli_world import DENIED, delivered, quarantined


def output(world, capsys, *arguments, code=0):
    assert world.run(*arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


def test_explain(world, capsys):
    """`explain --json` has the explanation's lines and the record; null for a file without a record."""
    world.admit(world.file("a"), outcome=delivered)
    found = output(world, capsys, "explain", world.root / "a")
    assert (found["path"], found["route"], found["record"]["state"]) == (str(world.root / "a"), "exports", "delivered")
    assert " was delivered at " in found["explanation"][0]
    assert output(world, capsys, "explain", world.root / "none")["record"] is None


def test_validate(world, capsys):
    """`validate --json` has routes and destinations, or the faults with code 2."""
    found = output(world, capsys, "validate")
    names = {"routes": ["exports", "inner"], "destinations": ["partner"]}
    assert found == {"valid": True, "faults": [], "warnings": [], "sent_again": []} | names
    world.config.write_text("state_dir: 7\nnonsense: 1\n")
    found = output(world, capsys, "validate", code=2)
    assert not found["valid"]
    assert len(found["faults"]) > 2
    assert all(each.startswith(f"{world.config}:") for each in found["faults"])


def test_retry(world, capsys):
    """`retry --json` has the number of requeued files, also before the first run."""
    assert output(world, capsys, "retry") == {"requeued": 0, "daemon_running": False}
    world.admit(world.file("a"), outcome=quarantined)
    assert output(world, capsys, "retry") == {"requeued": 1, "daemon_running": False}


def test_push(world, monkeypatch, capsys):
    """`push --json` has the totals and each file that was not delivered."""
    world.admit(world.file("a"), outcome=quarantined)
    with Reader.open(world.state) as reader:
        failed = tuple(reader.records())

    async def push(config, routes, watch):
        return PushSummary(2, 3, failed, 10, 1.25, ("r: unreadable",))

    monkeypatch.setitem(sys.modules, "crosshaul.service.push", SimpleNamespace(push=push))
    found = output(world, capsys, "push", code=1)
    assert (found["delivered"], found["unchanged"], found["delivered_bytes"], found["seconds"]) == (2, 3, 10, 1.25)
    assert found["left_out"] == ["r: unreadable"]
    assert [(each["path"], each["error"]["code"]) for each in found["failed"]] == [("a", DENIED.code)]


def test_push_dry_run_is_a_line_for_each_file(world, monkeypatch, capsys):
    """`push --dry-run --json` prints a line for each file with its key or its refusal."""
    good = world.file("a")
    bad = Settled(world.file("b").sighting, "partner", "", Refusal("KeyTooLong", "too long"))

    async def preview(config, routes):
        return [good, bad]

    monkeypatch.setitem(sys.modules, "crosshaul.service.preview", SimpleNamespace(preview=preview))
    assert world.run("push", "--dry-run", "--json") == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["path"], each["key"], each["refused"]) for each in found] == [
        ("a", "a", None),
        ("b", None, "too long"),
    ]


def test_version(capsys, world):
    """`version --json` has the version of each library."""
    done = world.process("version", "--json")
    found = json.loads(done.stdout)
    assert found["crosshaul"] == __version__
    assert found.keys() >= {"python", "openssl", "aioboto3", "botocore"}
