"""`crosshaul list` on real journals."""

import base64
import json

from crosshaul.model import Changed
from support.cli_world import DENIED


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_list_is_a_line_per_file(filled, capsys):
    """Each record is one line with state, size, path, object and error, also with odd names."""
    assert filled.run("list") == 0
    output = lines(capsys)
    assert len(output) == 4
    assert output[0].split() == ["delivered", "7", f"{filled.root}/a", "->", "s3://partner-bucket/a"]
    assert output[1].endswith(f"({DENIED.line()})")
    assert f"{filled.root}/odd\\xff\\n -> " in output[3]


def test_list_as_json_has_everything(filled, capsys):
    """``--json`` prints an object per line with receipt, error and, for odd names, the bytes."""
    assert filled.run("list", "--json") == 0
    first, second, _, odd = map(json.loads, lines(capsys))
    assert (first["state"], first["bucket"], first["key"], first["size"]) == ("delivered", "partner-bucket", "a", 7)
    assert first["receipt"]["checksum"] == {"kind": "CRC64NVME", "value": "AAAAAAAAAAA="}
    assert "path_base64" not in first
    assert (second["error"]["code"], second["error"]["advice"]) == ("KeyTooLongError", "Shorten the path.")
    assert base64.b64decode(odd["path_base64"]) == b"odd\xff\n"


def test_list_can_be_narrowed(filled, capsys):
    """The list can be narrowed by state, route and number; an unknown route is a usage error."""
    assert filled.run("list", "--state", "quarantined") == 0
    assert len(lines(capsys)) == 1
    assert filled.run("list", "--limit", "2") == 0
    assert len(lines(capsys)) == 2
    assert filled.run("list", "--route", "inner") == 0
    assert lines(capsys) == []
    assert filled.run("list", "--route", "nope") == 2
    assert "there is no route nope; there are: exports, inner." in capsys.readouterr().err


def test_nothing_shows_a_secret(filled, capsys):
    """No verb's output has the external ID."""
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


def test_a_changed_file_is_listed_as_changed(world, capsys):
    """The state that the journal stores as ``settling`` has the name ``changed`` in output and options."""
    world.admit(world.file("a"), outcome=lambda _claim: Changed())
    assert world.run("list", "--state", "changed") == 0
    assert lines(capsys)[0].startswith("changed ")
    assert world.run("list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "changed"
