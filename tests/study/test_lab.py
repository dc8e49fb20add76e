"""What `autograder study` serves, asked for without a browser."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import nbformat
import pytest
from lab_page import serve

from autograder.results import CheckResult, Outcome
from autograder.study.progress import Progress


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A course that has only its release."""
    release = tmp_path / "course" / "release" / "ch01_one" / "one.ipynb"
    release.parent.mkdir(parents=True)
    exercise = {"nbgrader": {"grade_id": "sum", "solution": True}}
    cells = [
        nbformat.v4.new_markdown_cell("# One\n\n## 1.1 Sums"),
        nbformat.v4.new_code_cell("raise NotImplementedError", metadata=exercise),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), release)
    return tmp_path / "course"


def get(address: str, path: str) -> str:
    parts = urlsplit(address)
    (token,) = parse_qs(parts.query)["token"]
    request = Request(f"http://{parts.netloc}{path}", headers={"Authorization": f"token {token}"})
    with urlopen(request) as answer:
        return str(answer.read().decode())


def test_a_learner_s_lab_has_no_panels_of_an_instructor_and_a_start_page_that_is_new(
    root: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with serve(root, home) as (address, said):
        assert urlsplit(address).path == "/lab/tree/START.md"
        page = get(address, "/lab")
        (data,) = re.findall(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)
        config: dict[str, Any] = json.loads(data)
        assert {"@jupyter/nbgrader", "jupyterlab-jupytext"} <= {*config["disabledExtensions"]}
        assert config["news"] == {"disabled": True}
        settings = get(address, "/lab/api/settings/@jupyterlab/docmanager-extension:plugin")
        assert "Markdown Preview" in settings
        assert "not started" in json.loads(get(address, "/api/contents/START.md"))["content"]
        passed = CheckResult("a", "A.", False, Outcome.PASSED, 1.0, 1.0)
        Progress(root / "work/progress.sqlite").attempt("ch01_one", "sum", 1.0, 1.0, [passed])
        assert "solved, 1 check" in json.loads(get(address, "/api/contents/START.md"))["content"]
        assert not [line for line in said if "nbgrader" in line]
    assert [*home.rglob("*")] == []


def test_a_jupyterlab_that_hangs_when_it_is_ended_is_killed(tmp_path: Path) -> None:
    """As it does at times while a kernel starts; here, a script that does not hear SIGTERM."""
    hangs, deaf = tmp_path / "hangs", tmp_path / "deaf"
    hangs.write_text(f"#!/bin/sh\ntrap '' TERM\ntouch {deaf}\nexec sleep 600\n")
    hangs.chmod(0o755)
    code = f"""
import sys
from pathlib import Path
from autograder.study import lab
lab.LEAVE_SECONDS = 1
sys.executable = {str(hangs)!r}
print(lab.open_lab(Path({str(tmp_path)!r}), []))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (deaf.exists() and catches(process.pid, signal.SIGTERM)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, f"{-signal.SIGKILL}\n")


def catches(process_id: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{process_id}/status").read_text()
    mask = int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16)
    return bool(mask >> (number - 1) & 1)
