"""requirements.lock can be installed and run on every Python that pyproject.toml admits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from sample_class import ROOT

from autograder.course.source import Course

SITE = sysconfig.get_path("purelib")
DEBIANS = Path("/usr/bin/python3.11")  # 3.11.2 in Debian 12


def lowest_python() -> str:
    """The first that pyproject.toml admits, with all three of its numbers."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    (lowest,) = (part.version for part in SpecifierSet(wanted) if part.operator == ">=")
    return ".".join([*lowest.split("."), "0"][:3])


def installed() -> dict[str, Distribution]:
    return {re.sub(r"[-_.]+", "-", found.name).lower(): found for found in distributions()}


def refuses(found: Distribution, python: str) -> bool:
    wanted = found.metadata.get("Requires-Python")
    return wanted is not None and Version(python) not in SpecifierSet(wanted)


def test_every_locked_package_admits_the_lowest_python() -> None:
    """soupsieve 4 needs 3.11.5; Debian 12 has 3.11.2, where the whole set-up failed for it."""
    packages, lowest = installed(), lowest_python()
    locked = Course(ROOT).lock
    assert len(locked) > 100
    assert sorted(locked.keys() - packages) == []
    too_new = {
        f"{name} {version}: Python {packages[name].metadata['Requires-Python']}"
        for name, version in locked.items()
        if refuses(packages[name], lowest)
    }
    assert sorted(too_new) == [], "pin these lower in pyproject.toml, with the reason"


def test_a_package_that_needs_a_later_python_would_be_found(tmp_path: Path) -> None:
    metadata = "Metadata-Version: 2.1\nName: soupsieve\nVersion: 4.1.2\nRequires-Python: >=3.11.5\n"
    (tmp_path / "soupsieve-4.1.2.dist-info").mkdir()
    (tmp_path / "soupsieve-4.1.2.dist-info" / "METADATA").write_text(metadata)
    (found,) = distributions(path=[str(tmp_path)])
    assert lowest_python() == "3.11.0"
    assert refuses(found, lowest_python())
    assert not refuses(found, "3.11.5")


@pytest.mark.skipif(not DEBIANS.exists(), reason="there is no /usr/bin/python3.11 here")
def test_the_locked_packages_run_on_debians_own_python() -> None:
    """Where too new a package gets in anyway, formgrader and feedback are what crashes."""
    code = (
        f"import sys; sys.path.insert(0, {SITE!r})\n"
        "import nbformat, soupsieve\n"
        "from nbconvert.exporters import HTMLExporter\n"
        "from nbgrader.apps.nbgraderapp import NbGraderApp\n"
        "from nbgrader.server_extensions.formgrader import formgrader\n"
        "cell = nbformat.v4.new_markdown_cell('![a picture](figure.png)')\n"
        "page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))\n"
        "print('a picture' in page)"
    )
    done = subprocess.run(
        [DEBIANS, "-I", "-c", code],
        env={**os.environ, "JUPYTER_PATH": str(Path(sysconfig.get_path("data"), "share/jupyter"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr


def test_set_up_says_which_python_is_missing(tmp_path: Path) -> None:
    """And not in the middle of four gigabytes."""
    tools = tmp_path / "tools"
    tools.mkdir()
    shutil.copy(ROOT / "tools" / "setup", tools)
    done = subprocess.run(
        ["/bin/bash", tools / "setup"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Python 3.11 is needed" in done.stderr


@pytest.mark.parametrize(("failures", "is_set_up"), [(0, True), (2, True), (3, False)])
def test_a_download_that_breaks_off_is_tried_again(
    failures: int, is_set_up: bool, tmp_path: Path
) -> None:
    """Twice; with Python, pip and the pauses played by scripts."""
    tools = tmp_path / "tools"
    tools.mkdir()
    shutil.copy(ROOT / "tools" / "setup", tools)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    pip = f"""echo "$@" >> {tmp_path}/pip; test $(wc -l < {tmp_path}/pip) -gt {failures}"""
    _program(programs / "pip", pip)
    _program(
        programs / "python3.11",
        f'[ "$2" != venv ] || {{ mkdir -p "$3/bin" && cp {programs}/pip "$3/bin/python"; }}',
    )
    for name in ("sleep", "bwrap"):
        _program(programs / name, "true")
    done = subprocess.run(
        ["/bin/bash", tools / "setup"],
        env={"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == is_set_up, done.stderr
    assert (tmp_path / ".venv" / ".ready").exists() == is_set_up
    assert done.stderr.count("once more") == min(failures, 2)
    assert ("run the command again" in done.stderr) != is_set_up
    asked = (tmp_path / "pip").read_text().splitlines()
    assert asked[0].endswith("--requirement requirements.lock")
    assert asked[-1].endswith("--editable .") == is_set_up


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
