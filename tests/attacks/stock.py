"""Runs the attacks against nbgrader as it comes, to show that they are real.

    python tests/attacks/stock.py [NAME...]

grades, with nbgrader's own generate_assignment and autograde, a class of three: honest alice
(10 points), an attacker and honest zoe (5 points). It writes what happened to stock.json,
or updates the attacks named. Attacks that could spoil each other's evidence run alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderApp

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from attacks import attacks, witness  # noqa: E402
from attacks.attacks import ATTACKS, CHAPTER, Attack  # noqa: E402
from autograder.course.source import Course  # noqa: E402

RESULTS = HERE / "stock.json"
SECONDS, MORE_SECONDS = 60, 15  # for one submission; for each further one of the same run
MARK = "AUTOGRADER_ATTACK"  # an environment variable that all processes of a run inherit
ALONE = {
    "startup_file", "fork_bomb", "threads", "swallowed_interrupt", "stopped", "recursion",
    "kill_parent", "daemon", "overwrite_neighbour", "gradebook_update", "symlink_for_grader",
    "trace_parent", "surrogates", "parent_memory", "exit_after_forgery", "shell_message",
    "all_descriptors", "closed_descriptors", "deaf_call", "sleeping_calls", "endless_shell",
    "replaced_functions", "blank_cells", "deaf_channel", "points_metadata", "renamed_test",
    "duplicated_test", "deleted_test", "edited_test", "edited_setup", "unlocked_test",
    "markdown_test",
}  # fmt: skip
SLOW = {"daemon", "fork_bomb"}  # to be watched for some seconds more
TOGETHER = 8
WITH_ZOE = {
    "startup_file", "fork_bomb", "threads", "kill_parent", "overwrite_neighbour", "side_channel",
    "gradebook_update", "symlink_for_grader", "swallowed_interrupt", "stopped",
    "duplicated_test", "unlocked_test", "markdown_test",
}  # fmt: skip
LARGE = 10 * 2**20  # bytes


@dataclass
class Run:
    """What one call of nbgrader left behind."""

    folder: Path
    ended: str  # "", "died" or "hung"
    log: str
    processes: int
    canaries: list[str]

    def output(self, student: str) -> Path:
        """The student's autograded notebook."""
        return self.folder / "autograded" / student / CHAPTER / "target.ipynb"

    def marks(self) -> dict[str, float]:
        """The marks of those that were graded."""
        with Gradebook(f"sqlite:///{self.folder}/gradebook.db") as gradebook:
            found = gradebook.assignment_submissions(CHAPTER)
            return {s.student.id: s.score for s in found if self.output(s.student.id).exists()}


def nbgrader(folder: Path, seconds: float, *arguments: str) -> Run:
    """Runs one of nbgrader's commands in a fork of this process and ends whatever it has left."""
    environment = {
        **attacks.ENVIRONMENT, MARK: "1", "HOME": str(folder / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    log = folder / "log.txt"
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _become_nbgrader(folder, log, environment, arguments)
    process = psutil.Process(child)
    try:
        code = process.wait(seconds)
        ended = "died" if code is not None and code < 0 else ""
        if any(path.name[8:] in SLOW for path in folder.glob("submitted/mallory_*")):
            time.sleep(3)
    except psutil.TimeoutExpired:
        ended = "hung"
        process.kill()
        process.wait(10)
    time.sleep(0.3)
    left = list(_marked())
    for other in left:
        other.kill()
    psutil.wait_procs(left, timeout=10)
    text = log.read_text(errors="replace")
    count = 0 if ended else len(left)
    return Run(folder, ended, text, count, [path.name for path in witness.canaries()])


def _become_nbgrader(
    folder: Path, log: Path, environment: dict[str, str], arguments: tuple[str, ...]
) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.update(environment)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(target, 1)
        os.dup2(target, 2)
        sys.argv = ["nbgrader", *arguments]
        NbGraderApp.launch_instance()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        os._exit(code)


def _marked() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK):
                yield process
        except psutil.Error:
            continue


def prepare(folder: Path) -> NotebookNode:
    """Makes the course with alice graded, and returns the release."""
    assignment = Course(HERE / "course").assignment(CHAPTER)
    (folder / "home").mkdir(parents=True)
    (folder / "home" / attacks.HOME_FILE).write_text(attacks.HOME_TEXT)
    shutil.copy(HERE / "course" / "nbgrader_config.py", folder)
    source = folder / "source" / CHAPTER
    source.mkdir(parents=True)
    nbformat.write(assignment.source, source / "target.ipynb")
    run = nbgrader(folder, SECONDS, "generate_assignment", CHAPTER)
    path = folder / "release" / CHAPTER / "target.ipynb"
    if not path.exists():
        sys.exit(run.log)
    release = nbformat.read(path, as_version=4)
    submit(folder, "alice", attacks.honest("alice")(nbformat.from_dict(release)))
    run = nbgrader(folder, SECONDS, "autograde", CHAPTER)
    if run.marks() != {"alice": 10}:
        sys.exit(run.log)
    return release


def submit(folder: Path, student: str, data: bytes) -> None:
    """Hands in a notebook."""
    path = folder / "submitted" / student / CHAPTER / "target.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


def run_together(template: Path, release: NotebookNode, group: list[Attack]) -> dict[str, dict]:
    """Runs these attacks in one call of nbgrader; verdicts by name."""
    with tempfile.TemporaryDirectory(prefix="stock-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch, "course")
        shutil.copytree(template, folder)
        witness.remove_canaries()
        for attack in group:
            for copy in ("", "_2")[: 1 + attack.twice]:
                data = attack.notebook(nbformat.from_dict(release))
                submit(folder, f"mallory_{attack.name}{copy}", data)
        with_zoe = len(group) > 1 or group[0].name in WITH_ZOE
        if with_zoe:
            wrong = attacks.honest("zoe", wrong=("scale",))
            submit(folder, "zoe", wrong(nbformat.from_dict(release)))
        seconds = SECONDS + MORE_SECONDS * (len(group) - 1)
        run = nbgrader(folder, seconds, "autograde", CHAPTER)
        if any(attack.unsafe for attack in group):
            nbgrader(folder, seconds, "generate_feedback", CHAPTER, "--force")
        found = {attack.name: judge(run, attack, with_zoe) for attack in group}
        witness.remove_canaries()
    return found


def judge(run: Run, attack: Attack, with_zoe: bool) -> dict[str, object]:
    """What became of one attack: the worst that can be said."""
    student = f"mallory_{attack.name}"
    marks = run.marks()
    mark = marks.get(student)
    neighbours = {"alice": 10.0, **({"zoe": 5.0} if with_zoe else {})}
    wrong = {name: marks.get(name) for name, due in neighbours.items() if marks.get(name) != due}
    leak = next(filter(None, (_leak(run.output(student + copy)) for copy in ("", "_2"))), "")
    left = f"autograder-canary-{attack.name}"
    files = [p for p in run.folder.glob(f"autograded/{student}/**/*") if not p.is_dir()]
    size = sum(path.lstat().st_size for path in files)
    feedback = run.folder / "feedback" / student / CHAPTER / "target.html"
    shown = feedback.read_text(encoding="utf-8", errors="replace") if feedback.exists() else ""
    due = f"{attack.score:g} deserved"
    changed = [name for name, value in wrong.items() if value is not None]
    for verdict, detail in [
        ("grader died" if run.ended == "died" else "", "nbgrader itself was ended"),
        ("grader hung" if run.ended == "hung" else "", f"nothing more within {SECONDS} s"),
        ("mark changed" if changed else "", f"marks of others: {wrong}"),
        ("neighbours harmed" if wrong else "", f"marks of others: {wrong}"),
        ("mark changed" if mark is not None and mark > attack.score else "", due),
        ("secret read" if leak else "", leak),
        ("left the kernel" if left in run.canaries else "", "its canary was written"),
        ("process left" if run.processes else "", f"{run.processes} after nbgrader had ended"),
        ("unsafe HTML kept" if attack.unsafe and attack.unsafe in shown else "", "in the feedback"),
        (f"not bounded ({size >> 20} MB)" if size > LARGE else "", "in autograded/"),
        (f"not bounded ({len(files)} files)" if len(files) > 1000 else "", "in autograded/"),
        ("no mark" if mark is None else "", f"{due}; {_last_line(run.log)}"),
        ("mark lost" if mark is not None and mark < attack.score else "", due),
    ]:
        if verdict:
            return {"verdict": verdict, "score": mark, "detail": detail}
    return {"verdict": "nothing", "score": mark, "detail": ""}


def _leak(path: Path) -> str:
    """What the attack has found, from its outputs."""
    if not path.exists():
        return ""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
            if found := re.search(r"LEAK:.*?((SECRET|PRIVATE)_\w+)", text, re.DOTALL):
                return f"printed {found[1]}"
    return ""


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if "Error" in line]
    return lines[-1].split("] ")[-1][:120] if lines else ""


def groups(chosen: Iterable[Attack]) -> list[list[Attack]]:
    """The attacks that may run together."""
    together: dict[str, list[Attack]] = {}
    for attack in chosen:
        key = attack.name if attack.name in ALONE else attack.group
        together.setdefault(key, []).append(attack)
    return [
        group[start : start + TOGETHER]
        for group in together.values()
        for start in range(0, len(group), TOGETHER)
    ]


def main() -> None:
    """Runs the attacks and writes the table."""
    names = sys.argv[1:]
    chosen = [attack for attack in ATTACKS if attack.name in names or not names]
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(prefix="stock-") as scratch, witness.witness():
        template = Path(scratch, "template")
        release = prepare(template)
        for group in groups(chosen):
            started = time.monotonic()
            results |= run_together(template, release, group)
            for attack in group:
                found = results[attack.name]
                print(f"{attack.name}: {found['verdict']} ({found['score']}) {found['detail']}")
            print(f"    {time.monotonic() - started:.0f} s", flush=True)
            ordered = {a.name: results[a.name] for a in ATTACKS if a.name in results}
            RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")


if __name__ == "__main__":
    main()
