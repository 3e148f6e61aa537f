"""A real browser for tests: the Chromium that is installed; none is downloaded."""

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@contextlib.contextmanager
def open_browser(*arguments: str) -> Iterator:
    """Playwright's ``Browser``; skips the test, with the reason, where none is installed.

    Args:
        arguments: of Chromium's command line.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no browser is installed; Debian's: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements-dev.txt)")
    # Chromium's sandbox needs rights that root in a container lacks.
    options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*arguments, *options])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """What a page has complained of, and where it wanted to go."""

    def __init__(self, page, allowed: tuple[str, ...]):
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: message.type in ("error", "warning") and self._complain(message.text))
        page.on("pageerror", lambda error: self._complain(str(error)))
        page.on("request", lambda request: request.url.startswith(allowed) or self.requests.append(request.url))

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def assert_quiet(self) -> None:
        """No error, no warning, no request that leaves."""
        assert self.complaints == [] and self.requests == []


def list_violations(page) -> list[str]:
    """What axe-core finds wrong with the page as it is now, as "rule: element"."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]
