"""What could not be looked at is told once, and a great many as a number."""

from typing import Any

import pytest

from crosshaul.discovery.scanner import ScanProblem
from crosshaul.discovery.unreadable import UnreadablePaths
from support.null_logger import NullLogger


class Log(NullLogger):
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


def problems(count: int, size: int = 10) -> list[ScanProblem]:
    return [ScanProblem(b"%d" % number + b"x" * size, f"{number}: no", unreadable=True) for number in range(count)]


@pytest.mark.parametrize(("count", "size"), [(29_000, 10), (3_000, 4_000)])
def test_thousands_are_told_once_and_not_at_each_scan(count: int, size: int):
    """Of many thousands the first thousand are named, the others counted, and the next scans add nothing."""
    log = Log()
    left_out, there = UnreadablePaths(log), problems(count, size)
    for _ in range(5):
        for start in range(0, count, 500):
            left_out.found(there[start : start + 500])
        left_out.scanned()
    named, counted = len(left_out.messages), left_out.more
    assert named <= 1_000
    assert named + counted == count
    assert [event for event, _ in log.lines] == [*["left_out"] * named, "left_out_more"]


def test_what_is_mended_and_breaks_again_is_told_again():
    """A scan that does not come by it any more ends it."""
    log = Log()
    left_out = UnreadablePaths(log)
    for found in (problems(1), [], problems(1)):
        left_out.found(found)
        left_out.scanned()
    assert [event for event, _ in log.lines] == ["left_out"] * 2


def test_a_path_that_is_hinted_at_again_and_again_is_told_once():
    """What looks come by is told as what scans come by is."""
    log = Log()
    left_out = UnreadablePaths(log)
    for _ in range(5):
        left_out.met(problems(2))
    assert len(log.lines) == 2
    assert left_out.mended(problems(1)[0].path)
    assert not left_out.mended(b"other")
