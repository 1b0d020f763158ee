"""The browser, and a daemon that tests share as long as they only read."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from browser.browsing import page
from browser.scenes import healthy


@pytest.fixture
def troubles() -> list[str]:
    """Errors that the windows of a test logged; the test removes those that it provoked."""
    return []


@pytest.fixture
def window(troubles):
    """Open a window: ``window(color_scheme="dark")`` and the like. What it logs as an error fails the test."""
    with contextlib.ExitStack() as stack:

        def refuse(dialog: Any) -> None:
            troubles.append(f"a dialog: {dialog.message}")
            dialog.dismiss()

        def opened(**options):
            window = stack.enter_context(page(**options))
            window.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
            window.on("pageerror", lambda error: troubles.append(str(error)))
            window.on("dialog", refuse)
            return window

        yield opened
        assert troubles == []


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A daemon that has delivered everything."""
    with healthy(tmp_path_factory.mktemp("calm")) as stage:
        yield stage
