"""Pages of feedback, opened in a browser: whether what a student wrote runs there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from playwright.sync_api import Error, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]

# What a hostile script does, by which it is known.
OWN = "top.document.documentElement.dataset.owned=1"
# Word by which a page that was led elsewhere is known.
ELSEWHERE = "led-elsewhere"

_OWNED = "document.documentElement.dataset.owned"
# Points at every link, button and picture, and pushes it.
_PROVOKE = """
for (const a of document.querySelectorAll('a, area, button, summary, img, svg *')) {
  for (const kind of ['mouseover', 'focus', 'click'])
    a.dispatchEvent(new MouseEvent(kind, {bubbles: true, cancelable: true}));
}
"""


def pages_that_run_scripts(pages: Mapping[str, str]) -> set[str]:
    """The names of those pages in which a hostile script runs, none where there is no browser."""
    suspects = {name: html for name, html in pages.items() if "owned" in html or ELSEWHERE in html}
    if not suspects or not (browser := next(filter(None, map(which, BROWSERS)), None)):
        return set()
    with _page(browser) as page, TemporaryDirectory() as folder:
        return {name for name, html in suspects.items() if _owned(page, html, Path(folder))}


@contextmanager
def _page(browser: str) -> Iterator[Page]:
    """A page of a browser that reaches nothing but files."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        context = chromium.new_context(offline=True)
        context.route(
            "**",
            lambda route: (
                route.continue_() if route.request.url.startswith("file:") else route.abort()
            ),
        )
        yield context.new_page()
        chromium.close()


def _owned(page: Page, html: str, folder: Path) -> bool:
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    page.goto(path.as_uri(), wait_until="load", timeout=20_000)
    try:
        page.wait_for_timeout(300)
        page.evaluate(_PROVOKE)
        page.wait_for_timeout(300)
        return bool(page.evaluate(_OWNED)) or page.url != path.as_uri()
    except Error:  # perhaps it was left while it was looked at
        return page.url != path.as_uri()
