"""Drive Debian's Chromium, headless, by playwright: a new profile each time, and no network traffic of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@contextlib.contextmanager
def page(**options: Any) -> Iterator[Page]:
    """A window; ``options`` are playwright's for a context (``color_scheme``, ``java_script_enabled``, ...)."""
    with tempfile.TemporaryDirectory(prefix="crosshaul-browser-") as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=list(_FLAGS), **options
        )
        try:
            yield browser.pages[0] if browser.pages else browser.new_page()
        finally:
            browser.close()
