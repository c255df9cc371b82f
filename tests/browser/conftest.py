"""A JupyterLab on the student edition, and a Chromium to drive it."""

import os
from collections.abc import Iterator

import pytest
from jupyter_lab import FLAGS, Lab, find_browser, running_lab
from playwright.sync_api import Browser, Page, expect, sync_playwright

# A page may be slow where other tests keep the machine busy.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; without one the tests are skipped, but for CI, where they fail."""
    path = find_browser()
    if path is None:
        message = "No Chromium or Chrome on the PATH. On Debian: `sudo apt install chromium`."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab on an empty folder."""
    with running_lab(tmp_path_factory.mktemp("student")) as lab:
        yield lab


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page as wide as a small laptop."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()
