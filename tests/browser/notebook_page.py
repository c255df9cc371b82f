"""What a student does in JupyterLab, in a few words."""

import re
import shutil
import uuid
from pathlib import Path

from jupyter_lab import Lab
from playwright.sync_api import Locator, Page, expect

RELEASE = Path(__file__).resolve().parents[2] / "release"


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Open a fresh copy of a release notebook, with a kernel of its own, and run its imports."""
    folder = uuid.uuid4().hex
    shutil.copytree(RELEASE / name, lab.folder / folder)
    page.goto(f"{lab.address}/lab/tree/{folder}/{name}.ipynb?reset")
    start(page)


def start(page: Page) -> None:
    """Wait for the kernel of the notebook that is open, and run its imports."""
    page.get_by_text("| Idle").wait_for()
    first = page.locator(".jp-CodeCell").first
    first.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    # The kernel has answered when the cell has its number.
    first.locator(".jp-InputPrompt", has_text="[1]").wait_for()


def run_cell(page: Page, text: str) -> Locator:
    """Run the last cell that holds a text; return it when its output is there."""
    cell = page.locator(".jp-CodeCell", has_text=text).last
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    cell.locator(".jp-OutputArea-output").first.wait_for()
    return cell


def solve_and_check(page: Page, stub: str, solution: str) -> Locator:
    """Type a solution over a stub, run it and the check below it; return the report card."""
    cell = page.locator(".jp-CodeCell", has_text=stub).first
    cell.locator(".cm-content").click()
    if solution:
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(solution)
    prompt = cell.locator(".jp-InputPrompt")
    before = prompt.inner_text()
    page.keyboard.press("Shift+Enter")
    # A cell that fails takes those that wait behind it off the queue: so none may wait yet.
    expect(prompt).not_to_have_text(before, timeout=60_000)
    expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=60_000)
    page.keyboard.press("Shift+Enter")
    card = page.locator(".report-card").last
    card.wait_for()
    card.scroll_into_view_if_needed()
    return card
