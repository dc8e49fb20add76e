"""No attack works: hostile submissions, with honest ones between them, graded as one class.

The attacks are in attacks/attacks.py, what they do to stock nbgrader in attacks/stock.json.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
from attacks import attacks, table, witness
from attacks import costs as costs_module
from nbconvert import HTMLExporter
from nbgrader.api import Gradebook

from autograder.course.build import make_release
from autograder.course.source import Course

COURSE = Path(attacks.__file__).parent / "course"
EVERY = 12  # an honest submission after so many hostile ones
HONEST = {"scale": 5.0, "shift": 5.0}
HALF = {"scale": 0.0, "shift": 5.0}
# Of an exercise's three checks, each may lose its call, twice if its kernel dies, or sleep through
# its deadline and the grace after it; its cell may do so, too, before it is left out.
MOST = {"kernels": 8, "calls": 9, "deadlines": 8}


def make_class(folder: Path) -> dict[str, attacks.Attack | None]:
    """Puts the course and the class into a folder; students in the order of grading."""
    shutil.copytree(COURSE, folder, dirs_exist_ok=True)
    course = Course(folder)
    assignment = course.assignment(attacks.CHAPTER)
    text = make_release(course, assignment, f"sqlite:///{folder}/gradebook.db")
    release = folder / "release.ipynb"
    release.write_text(text)
    students: dict[str, attacks.Attack | None] = {}

    def hand_in(name: str, make: Callable[[nbformat.NotebookNode], bytes]) -> str:
        student = f"s{len(students):03}_{name}"
        chapter = folder / "submitted" / student / attacks.CHAPTER
        chapter.mkdir(parents=True)
        (chapter / f"{attacks.NOTEBOOK}.ipynb").write_bytes(
            make(nbformat.read(release, as_version=4))
        )
        return student

    for number, attack in enumerate(attacks.ATTACKS):
        if number % EVERY == 0:
            students[hand_in("alice", attacks.honest("alice"))] = None
            students[hand_in("zoe", attacks.honest("zoe", wrong=("scale",)))] = None
        for _ in range(1 + attack.twice):
            students[hand_in(attack.name, attack.notebook)] = attack
    students[hand_in("zoe", attacks.honest("zoe", wrong=("scale",)))] = None
    release.unlink()
    return students


def test_no_attack_works(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / attacks.HOME_FILE).write_text(attacks.HOME_TEXT)
    folder = tmp_path / "class"
    students = make_class(folder)
    out = tmp_path / "out.json"
    witness.remove_canaries()
    costs = tmp_path / "costs.json"
    command = [sys.executable, costs_module.__file__, str(costs)]
    command += ["grade", attacks.CHAPTER, "--jobs", "2"]
    with witness.witness():
        done = subprocess.run(
            [*command, "--json", str(out), "--isolation", "full"],
            cwd=folder,
            env={**os.environ, **attacks.ENVIRONMENT, "HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    records = {record["student"]: record for record in json.loads(out.read_text())}
    assert records.keys() == students.keys()
    problems = [
        f"{student}: {problem}"
        for student, attack in students.items()
        for problem in faults(folder, records[student], attack)
    ]
    problems += too_dear(json.loads(costs.read_text()))
    problems += [f"canary {path.name}" for path in witness.canaries()]
    problems += [f"gradebook: {who}" for who in wrong_in_gradebook(folder, records)]
    page = (folder / "reports" / attacks.CHAPTER / "index.html").read_text()
    problems += [
        f"report shows {attack.unsafe!r}"
        for attack in attacks.ATTACKS
        if attack.unsafe and attack.unsafe in page
    ]
    assert not problems, "\n".join(problems)


def too_dear(costs: dict[str, dict[str, int]]) -> list[str]:
    """Submissions that have cost the class too much; prints what each has cost."""
    dearest = sorted(costs.items(), key=lambda item: (-item[1]["deadlines"], -item[1]["kernels"]))
    for student, cost in dearest:
        print(student, *(f"{count} {what}," for what, count in cost.items()))
    return [
        f"{student} cost {cost}"
        for student, cost in costs.items()
        if any(cost[what] > most for what, most in MOST.items())
    ]


def faults(folder: Path, record: dict, attack: attacks.Attack | None) -> list[str]:
    """What is wrong with one student's result."""
    found = []
    honest = HONEST if record["student"].endswith("alice") else HALF
    expected = honest if attack is None else attack.exercises
    marks = {exercise["id"]: exercise["score"] for exercise in record["exercises"]}
    if record["status"] != (attack.status if attack else "graded") or marks != expected:
        found.append(f"{record['status']} {marks} instead of {expected}: {record['reason']}")
    path = folder / "autograded" / record["student"] / attacks.CHAPTER / f"{attacks.NOTEBOOK}.ipynb"
    if not path.exists():
        return found
    text = path.read_text()
    notebook = nbformat.reads(text, as_version=4)
    outputs = json.dumps([cell.get("outputs", []) for cell in notebook.cells]) + json.dumps(record)
    if re.search(r"LEAK:[^\"]*(SECRET|PRIVATE)", outputs):
        found.append("a secret was read: " + re.search(r"LEAK:.{100}", outputs)[0])
    if attacks.SECRET in text + outputs:
        found.append("a hidden test stands in the autograded notebook")
    if attack and attack.unsafe:
        page, _ = HTMLExporter().from_notebook_node(notebook)  # as formgrader and feedback do
        if attack.unsafe in page:
            found.append(f"{attack.unsafe!r} is still there")
    if len(text) > 8 * 2**20:
        found.append(f"the notebook has {len(text) >> 20} MiB")
    return found


def wrong_in_gradebook(folder: Path, records: dict[str, dict]) -> list[str]:
    """Students whose marks in the gradebook are not those of their records."""
    with Gradebook(f"sqlite:///{folder}/gradebook.db") as book:
        return [
            f"{student} has {score}"
            for student, record in records.items()
            if (score := book.find_submission(attacks.CHAPTER, student).score) != record["score"]
        ]


def test_the_documentation_lists_the_attacks() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.with_table(page) == page
