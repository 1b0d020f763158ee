"""The choice of the file to try while a destination is parked."""

from __future__ import annotations

from crosshaul.journal.canary_choice import Canaries, CanaryCriteria, Candidate, choose

NOTHING = CanaryCriteria()


def file(number: int, path: str, due_at: float = -1.0, *, failed: bool = False, large: bool = False) -> Candidate:
    return Candidate(number, "r", path.encode(), large, float(number) if due_at < 0 else due_at, failed)


def refused(*paths: str, turn: int = 0) -> CanaryCriteria:
    canaries = Canaries()
    for path in paths:
        canaries.add_refused("r", path.encode(), large=False)
    for _ in range(turn):
        canaries.next_turn()
    return canaries.criteria(None)


def chosen(candidates: list[Candidate], wish: CanaryCriteria) -> int | None:
    found = choose(candidates, wish)
    return None if found is None else found.id


def test_the_newest_and_the_oldest_by_turns():
    """If files do not differ, the newest and the oldest one take turns."""
    files = [file(number, f"f{number}") for number in range(10)]
    assert [chosen(files, CanaryCriteria(turn)) for turn in range(3)] == [9, 0, 9]


def test_a_file_that_is_unlike_the_refused_ones_goes_first():
    """A file with another suffix, directory or name pattern than the refused ones is preferred."""
    forbidden = [file(number, f"in/setup{number}.exe") for number in range(1, 1_000)]
    wish = refused("in/setup77.exe", turn=1)
    for good in ("in/report.csv", "out/setup7.exe", "in/invoice.exe"):
        assert chosen([*forbidden[:500], file(5_000, good, 3.5), *forbidden[500:]], wish) == 5_000


def test_a_file_that_failed_before_waits_for_those_that_did_not():
    """Files that never failed are all tried first, except at every eighth turn."""
    files = [file(1, "a", failed=True), file(2, "b", failed=True), file(3, "c")]
    assert [chosen(files, CanaryCriteria(turn)) for turn in range(8)] == [3] * 7 + [1]
    assert chosen(files[:2], NOTHING) == 1


def test_files_that_failed_before_are_chosen_by_the_same_criteria():
    """A file that failed by chance is tried before older failed files that are like the refused ones."""
    failed = [file(number, f"in/setup{number}.exe", failed=True) for number in range(1, 20)]
    by_chance = file(50, "in/report.csv", failed=True)
    assert chosen([*failed, by_chance], refused("in/setup3.exe")) == 50
    assert chosen([*failed, by_chance, file(60, "in/new.csv")], refused("in/setup3.exe", turn=7)) == 50
    assert chosen([*failed, by_chance], NOTHING) == 1


def test_a_new_file_is_one_that_came_since_and_has_not_failed():
    """A canary for new files is a file that arrived since and has not failed."""
    wish = CanaryCriteria(newer_than=5.0)
    assert chosen([file(1, "a", 4.0), file(2, "b", 6.0), file(3, "c", 7.0, failed=True)], wish) == 2
    assert chosen([file(1, "a", 5.0), file(3, "c", 7.0, failed=True)], wish) is None


def test_small_files_are_quicker_canaries():
    """Of files that differ equally from the refused ones a small one is chosen."""
    files = [file(1, "a"), file(2, "b", large=True)]
    assert chosen(files, NOTHING) == 1
    assert chosen(files, refused("a", "b")) == 2


def test_nothing_due_is_no_canary():
    """Without candidates there is no canary."""
    assert choose([], NOTHING) is None
