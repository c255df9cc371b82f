"""Take the README's pictures from the running course: `make screenshots`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from jupyter_lab import FLAGS, find_browser, running_lab  # noqa: E402
from notebook_page import open_notebook, solve_and_check  # noqa: E402

WRONG = """def layer_norm(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True, ddof=1)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta"""


def report_card(browser: Browser) -> None:
    """A wrong solution of exercise 1 in JupyterLab, with the card that names the mistake."""
    with tempfile.TemporaryDirectory() as folder, running_lab(Path(folder)) as lab:
        page = browser.new_page(viewport={"width": 1180, "height": 1010})
        open_notebook(page, lab, "ex01_basic_implementation")
        page.keyboard.press("Control+b")  # close the file browser
        solve_and_check(page, "def layer_norm", WRONG)
        cell = page.locator(".jp-CodeCell", has_text="def layer_norm").first
        cell.evaluate("cell => cell.scrollIntoView({block: 'start'})")
        page.wait_for_timeout(1000)
        page.screenshot(path=IMAGES / "report-card.png")


def grades(browser: Browser) -> None:
    """What `make grade` prints."""
    command = ["make", "--no-print-directory", "-C", str(ROOT), "grade"]
    printed = subprocess.run(command, capture_output=True, text=True).stdout
    console = Console(record=True, width=100, file=sys.stdout)
    console.print(Text.from_ansi(printed.strip()))
    page = browser.new_page()
    page.set_content(console.export_svg(title="make grade"))
    page.locator("svg").screenshot(path=IMAGES / "grades.png")


if __name__ == "__main__":
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        report_card(chromium)
        grades(chromium)
        chromium.close()
