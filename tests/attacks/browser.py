"""Pages of feedback, opened in a browser: whether what a student wrote runs there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from playwright.sync_api import Error, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]

# What a hostile script does, by which it is known.
OWN = "top.document.documentElement.dataset.owned=1"
# Where a page is led that is led elsewhere.
ELSEWHERE = "led-elsewhere"

_OWNED = "document.documentElement.dataset.owned"
# Points at everything that can be pointed at, and pushes it, but for links that only lead on.
_PROVOKE = """
for (const it of document.querySelectorAll('a, area, button, summary, img, svg *')) {
  const kinds = ['mouseover', 'focus'];
  if (!it.href || String(it.href).includes('owned')) kinds.push('click');
  for (const kind of kinds)
    it.dispatchEvent(new MouseEvent(kind, {bubbles: true, cancelable: true}));
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
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri(), wait_until="load", timeout=20_000)
    owned = False
    with suppress(Error):  # perhaps the page is left while it is looked at
        page.wait_for_timeout(300)
        page.evaluate(_PROVOKE)
        page.wait_for_timeout(300)
        owned = bool(page.evaluate(_OWNED))
    return owned or any(ELSEWHERE in address for address in asked)
