"""A file appears whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TINY, make_course

from autograder.course.build import orphans
from autograder.files import write_whole


def test_a_file_and_its_folder_are_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "marks.csv"
    for text in ("one\n", "two\r\nü\n"):
        write_whole(path, text)
        assert path.read_bytes() == text.encode()
    assert [file.name for file in path.parent.iterdir()] == ["marks.csv"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "marks.csv"
    write_whole(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_what_a_killed_process_leaves_is_in_nobodys_way(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    release = tmp_path / "release" / TINY / "tiny.ipynb"
    code = "import os; os.replace = lambda *_: os._exit(9)\n"
    code += f"from autograder.files import write_whole; write_whole(Path({str(release)!r}), 'x')"
    died = subprocess.run([sys.executable, "-c", f"from pathlib import Path; {code}"], check=False)
    assert died.returncode == 9
    (left,) = release.parent.iterdir()
    assert orphans(course) == []
    write_whole(release, "whole")
    assert sorted(file.name for file in release.parent.iterdir()) == [left.name, "tiny.ipynb"]
    assert release.read_text() == "whole"


def test_a_file_is_as_private_as_its_writer_asks(tmp_path: Path) -> None:
    """Grades that a careful person keeps to themselves stay with them."""
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "marks.csv", "1")
    finally:
        os.umask(before)
    assert (tmp_path / "marks.csv").stat().st_mode & 0o777 == 0o600
