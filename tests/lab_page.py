"""JupyterLab in a browser, as people use it: opens it, types, runs cells, ends it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PageTimeout

SECONDS = 120  # until a test gives up waiting for something to happen
FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"


class Lab:
    """JupyterLab in a browser."""

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
        found = self.start_page.get_by_role("link", name=link).first
        self.keep_in_front("START.md", lambda timeout: found.click(timeout=timeout))
        self.wait_for_kernel(notebook)

    def wait_for_kernel(self, notebook: str) -> None:
        """Waits until a notebook that is being opened can run cells."""
        expect(self.page.locator(".lm-DockPanel-tabBar", has_text=notebook)).to_be_visible()
        state = self.page.locator(f"{FRONT} .jp-Notebook-ExecutionIndicator")
        self.keep_in_front(
            notebook,
            lambda timeout: expect(state).to_have_attribute("data-status", "idle", timeout=timeout),
        )
        # That is idle, too, before JupyterLab has reached the kernel.
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("(ipykernel) | Idle")

    def see(self, text: str, notebook: str) -> None:
        """Waits until a code cell of this notebook with this text is seen."""
        self.keep_in_front(
            notebook, lambda timeout: expect(self.cell(text)).to_be_visible(timeout=timeout)
        )

    def keep_in_front(self, tab: str, holds: Callable[[float], None]) -> None:
        """Keeps a tab in the front until `holds`, which takes milliseconds, raises no more.

        While JupyterLab restores its tabs, on a busy machine long after it is there, another tab
        may come to the front.
        """
        deadline = time.monotonic() + SECONDS
        while True:
            self.show(tab)
            try:
                return holds(5000)
            except (AssertionError, PageTimeout):
                if time.monotonic() > deadline:
                    raise

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
def a_browser() -> Iterator[Browser]:
    """Chromium. As long as it is there, asyncio.run() fails in this process."""
    found = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if found is None:
        pytest.skip("there is no Chromium here: sudo apt-get install chromium")
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not run as root; the only pages here are our own.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser: Browser) -> Page:
    """A new page that waits as long as a slow machine needs."""
    page = browser.new_page()
    page.set_default_timeout(SECONDS * 1000)
    return page


@contextmanager
def open_lab(browser: Browser, root: Path, home: Path) -> Iterator[Lab]:
    """A browser at the address that `autograder study` opens, until the learner leaves."""
    with serve(root, home) as (address, said):
        page = open_page(browser)
        page.goto(address)
        yield Lab(page, said)
        page.close()


@contextmanager
def serve(root: Path, home: Path) -> Iterator[tuple[str, list[str]]]:
    """Runs `autograder study` in the course at `root`: JupyterLab's address, and what it prints."""
    command = [sys.executable, "-m", "autograder.cli", "study", "--no-browser", "--port=0"]
    if os.getuid() == 0:
        command.append("--allow-root")
    with running(command, root, {**os.environ, "HOME": str(home)}) as there:
        yield there


@contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Runs a command that starts a server of Jupyter's: its address, and what it prints."""
    said: list[str] = []
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        umask=0o022,
    )
    try:
        yield _address(process, said), said
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):  # JupyterLab hangs at times: test_lab.py
            process.wait(60)
        with suppress(ProcessLookupError):  # it has a process group of its own
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
            _wait_for(found[0], process)
            return found[0]


def _wait_for(address: str, process: subprocess.Popen[str]) -> None:
    """Waits until the server answers: it prints its address before it listens there."""
    place = urlsplit(address)
    deadline = time.monotonic() + SECONDS
    while True:
        with suppress(ConnectionRefusedError):
            socket.create_connection((str(place.hostname), place.port or 80)).close()
            return
        assert process.poll() is None and time.monotonic() < deadline, "JupyterLab did not answer"
        time.sleep(0.05)
