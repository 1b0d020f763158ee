"""`crosshaul explain` on real journals and files."""

import pytest


def lines(capsys):
    return capsys.readouterr().out.splitlines()


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
def test_explain_uses_all_sources(filled, capsys, name, words):
    """The explanation uses the record, the file, the patterns and the daemon."""
    (filled.root / "new.tmp").touch()
    (filled.root / "fresh").touch()
    assert filled.run("explain", filled.root / name) == 0
    assert words in lines(capsys)[0]


def test_explain_knows_excluded_directories_and_inner_routes(world, capsys):
    """A file below an excluded directory is left out; a file in an inner route is explained by that route."""
    (world.root / "old.tmp").mkdir()
    (world.root / "old.tmp" / "file").touch()
    world.run("explain", world.root / "old.tmp" / "file")
    assert "is left out by the patterns of route exports" in lines(capsys)[0]
    world.run("explain", world.root / "inner" / "none")
    assert "(route inner)" in lines(capsys)[0]


def test_explain_of_a_path_in_no_route(world, tmp_path, capsys):
    """A path in no route exits with 2 and names the routes' directories."""
    assert world.run("explain", tmp_path / "elsewhere") == 2
    assert f"The routes' directories are: {world.root} (exports)" in capsys.readouterr().err
