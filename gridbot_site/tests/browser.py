"""A real browser for tests and screenshots: Chromium, driven by playwright.

Where either is missing, tests that ask for one are skipped and say what to install.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
# The console reports a violation in words; the event names what was against which rule.
LISTENER = """document.addEventListener("securitypolicyviolation", (event) => console.error(
  `violates ${event.effectiveDirective}: ${event.blockedURI} in ${event.sourceFile}`));"""


@dataclass
class Tab:
    """A page of the browser, and every complaint that its console made."""

    page: Page
    base_url: str = ""
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> int:
        """Open `path` of the site; the status of the answer."""
        answer = self.page.goto(self.base_url + path)
        assert answer is not None
        return answer.status

    def fill_in(self, **values: str) -> None:
        """Write into the form's fields by their names."""
        for name, value in values.items():
            self.page.fill(f"[name={name}]", value)

    def submit(self) -> None:
        """Press the button of the form and wait for the page that comes."""
        with self.page.expect_navigation():
            self.page.click("#content [type=submit]")


def program() -> str | None:
    """Where Chromium is, None where it is not."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def missing() -> str:
    """What a browser test lacks on this machine, empty for nothing."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install -r requirements-dev.txt"
    return "" if program() else f"no browser: none of {', '.join(PROGRAMS)} is installed"


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_tab(browser: Browser, base_url: str) -> Iterator[Tab]:
    """A page of a fresh profile, 1280 by 800, light."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme="light", locale="en-US"
    )
    context.add_init_script(LISTENER)
    page = context.new_page()
    tab = Tab(page, base_url)

    def hear(message: Any) -> None:
        if message.type in ("error", "warning"):
            tab.complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    try:
        yield tab
    finally:
        context.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a module."""
    if reason := missing():
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        # playwright has an event loop in this thread, and Django would not touch the database.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        with running_browser() as browser:
            yield browser


@pytest.fixture
def tab(chromium: Browser, live_server: Any) -> Iterator[Tab]:
    """A page of a fresh profile, on a running site."""
    with open_tab(chromium, live_server.url) as opened:
        yield opened
