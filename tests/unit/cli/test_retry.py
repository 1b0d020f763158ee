"""`crosshaul retry` on real journals."""

from crosshaul.journal import Reader
from crosshaul.model import State


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def state_of(world, name):
    with Reader.open(world.state) as reader:
        record = reader.find("exports", name)
        assert record is not None
        return record.state


def test_retry_puts_back_quarantined_files(filled, capsys):
    """All quarantined files go back; the output has their number, and that no daemon runs."""
    assert filled.run("retry") == 0
    assert lines(capsys) == [
        "1 file went back in the queue. No daemon is running: `crosshaul run` or `crosshaul push` sends them."
    ]
    assert state_of(filled, b"b") is State.PENDING
    assert filled.run("retry") == 0
    assert lines(capsys) == ["0 files went back in the queue."]


def test_retry_of_given_files_reports_those_not_quarantined(filled, capsys):
    """Only the given files go back; a delivered one among them is reported and left alone."""
    assert filled.run("retry", filled.root / "a", filled.root / "b") == 0
    assert "1 file went back in the queue. 1 given file is not quarantined" in lines(capsys)[0]
    assert state_of(filled, b"a") is State.DELIVERED


def test_retry_of_a_file_elsewhere_changes_nothing(filled, tmp_path):
    """A path in no route is a usage error, and no other file is changed."""
    assert filled.run("retry", filled.root / "b", tmp_path / "elsewhere") == 2
    assert state_of(filled, b"b") is State.QUARANTINED


def test_retry_before_the_first_run_is_no_error(world, capsys):
    """Without a journal there is nothing to put back, and the code is 0."""
    assert world.run("retry") == 0
    assert lines(capsys) == ["No file is quarantined: there is no journal yet."]
