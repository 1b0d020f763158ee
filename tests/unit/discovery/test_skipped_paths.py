"""Skipped paths are logged once, and beyond a limit as a number."""

from typing import Any

import pytest

from crosshaul.discovery.scan_results import ScanProblem
from crosshaul.discovery.skipped_paths import SkippedPaths
from support.null_logger import NullLogger


class Log(NullLogger):
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


def problems(count: int, size: int = 10) -> list[ScanProblem]:
    return [ScanProblem(b"%d" % number + b"x" * size, f"{number}: no", unreadable=True) for number in range(count)]


@pytest.mark.parametrize(("count", "size"), [(29_000, 10), (3_000, 4_000)])
def test_thousands_are_logged_once_and_not_at_each_scan(count: int, size: int):
    """At most a thousand paths are logged by name, the others as a number, and later scans log nothing."""
    log = Log()
    skipped, there = SkippedPaths(log), problems(count, size)
    for _ in range(5):
        for start in range(0, count, 500):
            skipped.add_scanned(there[start : start + 500])
        skipped.scan_finished()
    named, counted = len(skipped.messages), skipped.unnamed
    assert named <= 1_000
    assert named + counted == count
    assert [event for event, _ in log.lines] == [*["path_skipped"] * named, "paths_skipped"]


def test_a_problem_that_returns_is_logged_again():
    """A problem that a scan did not find is logged again when a later scan finds it."""
    log = Log()
    skipped = SkippedPaths(log)
    for found in (problems(1), [], problems(1)):
        skipped.add_scanned(found)
        skipped.scan_finished()
    assert [event for event, _ in log.lines] == ["path_skipped"] * 2


def test_a_path_with_repeated_hints_is_logged_once():
    """A problem found by hints is logged once, and can be forgotten by its path."""
    log = Log()
    skipped = SkippedPaths(log)
    for _ in range(5):
        skipped.add(problems(2))
    assert len(log.lines) == 2
    assert skipped.forget(problems(1)[0].path)
    assert not skipped.forget(b"other")
