"""A learner at JupyterLab, as the browser tests have them: opens it, types, runs cells, ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from playwright.sync_api import Browser, Locator, Page, expect

SECONDS = 120  # until a test gives up waiting for something to happen
FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"


class Lab:
    """JupyterLab in a browser, opened by `autograder study`."""

    def __init__(self, page: Page, said: list[str]):
        self.page, self.said = page, said

    @property
    def start_page(self) -> Locator:
        """The start page as it is rendered."""
        return self.page.locator(".jp-MarkdownViewer")

    def show(self, tab: str) -> None:
        """Brings a tab to the front."""
        self.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab", has_text=tab).click()

    def follow(self, link: str, notebook: str) -> None:
        """Follows a link of the start page to a notebook, and waits for its kernel."""
        self.start_page.get_by_role("link", name=link).first.click()
        expect(self.page.locator(".lm-DockPanel-tabBar", has_text=notebook)).to_be_visible()
        self.show(notebook)  # while JupyterLab restores its tabs, another may come to the front
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        expect(self.page.locator(f"{FRONT} .jp-Notebook-ExecutionIndicator")).to_have_attribute(
            "data-status", "idle"
        )

    def cell(self, text: str | re.Pattern[str]) -> Locator:
        """The first code cell in whose code this text stands, or this pattern is found."""
        code = self.page.locator(".cm-content", has_text=text)
        return self.page.locator(f"{FRONT} .jp-CodeCell").filter(has=code).first

    def write(self, cell: Locator, text: str) -> None:
        """Replaces what the cell holds."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(text)

    def run(self, cell: Locator) -> None:
        """Runs the cell and waits until it has run; the one below is selected then."""
        number = cell.locator(".jp-InputPrompt")
        before = number.inner_text()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        expect(number).not_to_have_text(before)
        expect(number).to_have_text(re.compile(r"\[\d+\]:"))

    def add(self, below: Locator, text: str) -> Locator:
        """A new cell with this line below another, made with the keyboard only."""
        below.locator(".cm-content").click()
        for key in ("Escape", "b", "Enter"):
            self.page.keyboard.press(key)
        self.page.keyboard.insert_text(text)
        return self.cell(whole(text))

    def save(self) -> None:
        self.page.keyboard.press("ControlOrMeta+S")
        expect(self.page.locator(f"{FRONT}.jp-mod-dirty")).to_have_count(0)
        expect(self.page.locator(".lm-DockPanel-tabBar .jp-mod-dirty")).to_have_count(0)


def whole(line: str) -> re.Pattern[str]:
    """Found in a cell that holds this line and nothing else."""
    return re.compile(f"^{re.escape(line)}$")


@contextmanager
def open_lab(browser: Browser, root: Path, home: Path) -> Iterator[Lab]:
    """A browser at the address that `autograder study` opens, until the learner leaves."""
    with serve(root, home) as (address, said):
        page = browser.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(address)
        yield Lab(page, said)
        page.close()


@contextmanager
def serve(root: Path, home: Path) -> Iterator[tuple[str, list[str]]]:
    """Runs `autograder study` in the course at `root`: JupyterLab's address, and what it prints."""
    said: list[str] = []
    command = [sys.executable, "-m", "autograder.cli", "study", "--no-browser", "--port=0"]
    process = subprocess.Popen(
        [*command, *(["--allow-root"] if os.getuid() == 0 else [])],
        cwd=root,
        env={**os.environ, "HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield _address(process, said), said
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        finally:  # it has a process group of its own, which ends with it
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _address(process: subprocess.Popen[str], said: list[str]) -> str:
    """The address that JupyterLab prints; what it prints goes on to be read."""
    assert process.stdout is not None
    lines: Queue[str] = Queue()

    def read(stream: object = process.stdout) -> None:
        for line in stream:  # type: ignore[attr-defined]
            said.append(line)
            lines.put(line)

    Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=SECONDS)
        except Empty:
            raise AssertionError(f"JupyterLab did not start: {''.join(said)}") from None
        if found := re.search(r"http://127\.0\.0\.1:\S+", line):
            return found[0]
