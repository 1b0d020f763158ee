"""Fixtures of the CLI's tests: a configuration with two routes, and a journal with files in several states."""

import pytest

from support.cli_world import World, delivered, quarantined


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def filled(world):
    """Make a journal in which ``a`` is delivered, ``b`` quarantined, and ``c`` and an odd name are pending."""
    world.admit(world.file("a"), outcome=delivered)
    world.admit(world.file("b"), outcome=quarantined)
    world.admit(world.file("c", b"12345"), world.file(b"odd\xff\n"))
    return world
