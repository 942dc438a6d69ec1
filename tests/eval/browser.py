"""Chromium for the tests of pages: that of the system, or the one that Playwright has fetched."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def executable(playwright: Playwright) -> str | None:
    """The path of a browser, or None where none is installed."""
    found = [path for name in NAMES if (path := shutil.which(name))]
    fetched = playwright.chromium.executable_path
    return next(iter([*found, *([fetched] if Path(fetched).exists() else [])]), None)


@contextmanager
def browser() -> Iterator[Browser | None]:
    """A browser without a window; None where none is installed."""
    with sync_playwright() as playwright:
        path = executable(playwright)
        if path is None:
            yield None
            return
        # Containers run tests as root, under which Chromium refuses to start with its sandbox.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()
