"""Patterns have gitignore's meaning, and no path makes them slow."""

import random
import time

import pytest
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError

from crosshaul.discovery.patterns import spec

SEGMENTS = ("**", "*", "a", "b", "ab", "*a", "a*", "*a*b", "a?", "?", "[ab]", "*[ab]*", "\\*", "*.t", "a**b", "[]a]")


def random_pattern(chance: random.Random) -> str:
    path = "/".join(chance.choice(SEGMENTS) for _ in range(chance.choice([1, 1, 2, 2, 3, 4])))
    return chance.choice(["", "", "", "!"]) + chance.choice(["", "", "/"]) + path + chance.choice(["", "", "/"])


def random_path(chance: random.Random) -> str:
    names = ("".join(chance.choices("abt.*", k=chance.choice([1, 1, 2, 3, 4]))) for _ in range(chance.randint(1, 5)))
    return "/".join(names) + chance.choice(["", "", "", "", "/"])


def test_patterns_mean_what_pathspec_has_them_mean():
    """Thousands of random pattern lists select the same paths as pathspec's own expressions."""
    chance, matched = random.Random(20), 0
    for _ in range(3_000):
        lines = [random_pattern(chance) for _ in range(chance.choice([1, 1, 2, 3]))]
        try:
            theirs = GitIgnoreSpec.from_lines(lines)
        except GitIgnorePatternError:
            with pytest.raises(GitIgnorePatternError):
                spec(lines)
            continue
        ours = spec(lines)
        for path in (random_path(chance) for _ in range(8)):
            assert ours.match_file(path) == theirs.match_file(path), (lines, path)
            matched += ours.match_file(path)
    assert matched > 1_000


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("a[!b]c", "a/c", False),
        ("*.log", "x/new\nline.log", True),
        ("**/b", "new\nline/b", True),
        ("*.log", "x.log\n", False),
        ("f\\ ", "f ", True),
        ("f ", "f", True),
        ("[a-c]x", "bx", True),
        ("[\\]]", "\\]", True),
        ("#no", "#no", False),
    ],
)
def test_names_that_are_unusual_match_as_in_git(pattern: str, path: str, matches: bool):
    """Brackets match no slash, a line break is an ordinary character, escaped final blanks count."""
    assert spec([pattern]).match_file(path) is matches


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*-*-*-*-*-*.tmp", "-" * 250),
        ("*[ab]*[ab]*[ab]*[!b]*[ab]*x", "ab" * 125),
        ("*?*?*?*?*?*?*x", "a" * 250),
        ("*" * 30 + "x", "a" * 250),
        ("**/a/**/a/**/a/**/a/**/b", "a/" * 2_000 + "c"),
        ("**/*a*/**/*a*/**/*a*b*/**/c", ("a" * 200 + "/") * 20 + "d"),
        ("a*/**/a*/**/a*/x", "a/" * 2_000 + "c"),
        ("*a*a*a*a*b/**/z", ("a" * 255 + "/") * 16 + "y"),
    ],
)
def test_no_path_makes_a_pattern_slow(pattern: str, path: str):
    """Names that take pathspec seconds to hours take at most two milliseconds."""
    ours = spec([pattern])
    began = time.thread_time()
    for _ in range(10):
        assert not ours.match_file(path)
    assert time.thread_time() - began < 1.0
