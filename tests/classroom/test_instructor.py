"""Every command of docs/instructor.md, in its order, in a class of three: one story, one term.

The commands are those of the page, as a shell in the course's folder gets them; only the names in
`HERE` are others. A command that no step of the story gives, or one in another order, fails. What
the page says of PostgreSQL is a story of its own.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from command import gradebook_scores, hand_in, run
from nbgrader.api import Gradebook
from nbgrader.apps import quickstartapp
from postgresql import Server
from sample_class import ROOT, as_bytes, fill
from tiny import (
    NOTEBOOK,
    TINY,
    cell,
    check,
    exercise,
    function,
    release,
    write_chapter,
    written,
)

from autograder.classroom.machine import CONFIGURATION

PAGE = (ROOT / "docs" / "instructor.md").read_text(encoding="utf-8")
ON_A_SERVER = PAGE.partition("\n### PostgreSQL\n")[2].partition("\n### ")[0]
STUDENTS = "/opt/large-models/bin/"  # commands that a student gives
HERE = {
    STUDENTS: f"{Path(sys.executable).parent}/",
    "ch01_concepts": TINY,
    "concepts.ipynb": NOTEBOOK,
    "2027-01-15": "2099-01-15",  # the due date is to be in the future when feedback is given
    "2027-01-17": "2099-01-17",
}
# Commands that no test can give here, and the test that covers each.
ELSEWHERE = {
    # Installs 4 GB; whatever is tested was installed by it.
    "tools/setup": "tests/test_install.py::test_set_up_says_which_python_is_missing",
    # The same, by root, for all of the machine. There, a smaller environment is made and used.
    "sudo tools/setup --class /opt/large-models": (
        "tests/classroom/test_machine.py::test_a_class_from_set_up_to_removal"
    ),
    f"{STUDENTS}autograder doctor --class": (
        "tests/classroom/test_machine.py::test_a_class_from_set_up_to_removal"
    ),
    # Other people's programs, which the course does not install: what they read and write.
    **dict.fromkeys(
        re.findall(r"^\$ (cd ~/similarity/.*)$", PAGE, re.MULTILINE),
        "tests/classroom/test_compare.py::test_similarity_writes_code_and_shows_what_was_found",
    ),
    # Goes on until somebody ends it.
    ".venv/bin/jupyter lab": (
        "tests/classroom/test_life.py::test_from_the_release_to_the_feedback"
    ),
}

STRICT = "assert mean([1.0, 1.0, 2.0]) == 4 / 3"
FAIR = "assert abs(mean([1.0, 1.0, 2.0]) - 4 / 3) < 1e-3"
CHECKS = (
    check("mean_of_two", "assert mean([1.0, 3.0]) == 2.0")
    + "### BEGIN HIDDEN TESTS\n"
    + check("mean_of_many", STRICT, points=2)
    + "### END HIDDEN TESTS"
)
QUESTION = """
# ## W1 Reasons
#
# ### BEGIN MARK SCHEME
# Five points for the sum.
# ### END MARK SCHEME
"""
CELLS = (
    cell("setup", "from autograder.checks import Checks, probe"),
    exercise("mean", function("mean", "return sum(values) / len(values)", "values"), CHECKS, 3),
    cell("question", QUESTION, kind="[markdown] "),
    written("reasons", "Because.", 5),
)
RIGHT = "def mean(values):\n    return sum(values) / len(values)\n"
ROUNDED = RIGHT.replace("sum(values) / len(values)", "round(sum(values) / len(values), 5)")
WRONG = "def mean(values):\n    return 0\n"


def git(folder: Path, *arguments: str) -> None:
    author = ("-c", "user.name=Author", "-c", "user.email=author@example.org")
    subprocess.run(["git", "-C", str(folder), *author, *arguments], check=True)


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """What the page tells to type, without comments."""
    lines = [line for block in blocks("console", text) for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [re.sub(r"\s+# .*", "", line[2:]) for line in lines]


class Typist:
    """Types what a part of the page says, line by line."""

    def __init__(self, part: str, place: Path):
        self.left = commands(part)
        self.place = place
        self.environment: dict[str, str] = {}
        self.names = {**HERE, "/usr/local/share/nbgrader/exchange": str(place / "exchange")}

    def next(self, command: str) -> str:
        """The page's next command, which must be this one, with the names that it has here."""
        assert self.left, f"the page says nothing after this: {command}"
        assert self.left.pop(0) == command
        for name, here in self.names.items():
            command = command.replace(name, here)
        return command

    def types(self, command: str, *, student: str = "", code: int = 0, answer: str = "") -> str:
        """Types it in the course's folder, or as a student in their own; returns what is said."""
        home = self.place / (student or "teacher")
        done = subprocess.run(
            ["/bin/bash", "-c", self.next(command)],
            cwd=home if student else self.place / "course",
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(home),
                "LANG": "C.UTF-8",
                **self.environment,
            },
            input=answer,
            umask=0o022,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def leaves_out(self, command: str) -> None:
        """A command of `ELSEWHERE`."""
        self.next(command)
        path, _, name = ELSEWHERE[command].partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


class Term:
    """A course's folder with its class, an exchange, and the students' homes."""

    def __init__(self, place: Path):
        self.place, self.course = place, place / "course"
        self.course.mkdir()
        self.assignment = write_chapter(self.course, *CELLS).assignment(TINY)
        self.configure(f"c.Exchange.root = {str(place / 'exchange')!r}\n")
        (self.course / ".venv").symlink_to(sys.prefix)
        (place / "teacher").mkdir()
        for student in ("ada", "chen"):
            settings = place / student / ".jupyter" / "nbgrader_config.py"
            settings.parent.mkdir(parents=True)
            text = CONFIGURATION.format(course_id="large-models", root=str(place / "exchange"))
            # Here, all of them have one account.
            settings.write_text(f"{text}c.CourseDirectory.student_id = {student!r}\n")

    def configure(self, lines: str) -> None:
        with (self.course / "class_config.py").open("a") as file:
            file.write(lines)

    def upstream(self) -> Path:
        """Where new versions of the course come from."""
        folder = self.place / "upstream"
        git(self.course, "init", "--quiet", "--initial-branch=main")
        git(self.course, "add", "nbgrader_config.py", f"source/{TINY}", f"release/{TINY}")
        git(self.course, "commit", "--quiet", "--message", "The version before")
        git(self.place, "clone", "--quiet", str(self.course), str(folder))
        git(self.course, "remote", "add", "origin", str(folder))
        git(self.course, "fetch", "--quiet", "origin")
        git(self.course, "branch", "--quiet", "--set-upstream-to=origin/main")
        return folder

    def answer(self, student: str, **answers: str) -> None:
        """The student writes into their copy."""
        path = self.place / student / TINY / NOTEBOOK
        path.write_bytes(as_bytes(fill(answers, nbformat.read(path, as_version=4))))

    def book(self) -> Gradebook:
        return Gradebook(f"sqlite:///{self.course / 'gradebook.db'}")

    def mark_by_hand(self, student: str, points: float, comment: str) -> None:
        """As formgrader does."""
        with self.book() as book:
            grade = book.find_grade("reasons", "tiny", TINY, student)
            grade.manual_score, grade.needs_manual_grade = points, False
            book.find_comment("reasons", "tiny", TINY, student).manual_comment = comment
            book.db.commit()

    def table(self) -> dict[str, dict[str, str]]:
        """The class report's grades.csv."""
        with (self.course / "reports" / TINY / "grades.csv").open(encoding="utf-8") as file:
            return {row["student"]: row for row in csv.DictReader(file)}

    def fetched(self, student: str) -> str:
        """The page that the student has fetched last."""
        *_, last = sorted((self.place / student / TINY / "feedback").glob("*/tiny.html"))
        return " ".join(re.sub("<[^>]+>", " ", last.read_text()).split())


def test_a_term(tmp_path: Path) -> None:  # noqa: PLR0915
    term = Term(tmp_path)
    parts = PAGE.replace(ON_A_SERVER, "").split("\n## Reference\n")
    teacher, looks_up = (Typist(part, tmp_path) for part in parts)
    autograder, nbgrader = ".venv/bin/autograder", ".venv/bin/nbgrader"
    # 1. Before the term
    teacher.leaves_out("tools/setup")
    assert "autograder grade would use: full" in teacher.types(f"{autograder} doctor")
    teacher.leaves_out("sudo tools/setup --class /opt/large-models")
    teacher.leaves_out(f"{STUDENTS}autograder doctor --class")
    (roster,) = (block for block in blocks("text", PAGE) if block.startswith("id,"))
    (term.course / "students.csv").write_text(roster)
    teacher.types(f"{nbgrader} db student import students.csv")
    with term.book() as book:
        assert [student.id for student in book.students] == ["ada", "chen", "zoe"]

    # 2. Hand out a chapter. What the folder of a real course has already is built here.
    with contextlib.chdir(term.course):
        assert run("build")[0] == 0
    due = "2027-01-15 23:59 Europe/Berlin"
    teacher.types(f'{nbgrader} db assignment add ch01_concepts --duedate "{due}"')
    listed = teacher.types(f"{nbgrader} db assignment list")
    assert f"{TINY} (due: 2099-01-15 22:59:00)" in listed
    teacher.types(f"{nbgrader} release_assignment ch01_concepts")
    course = term.place / "exchange" / "large-models"
    assert (term.place / "exchange").stat().st_mode & 0o777 == 0o777
    assert (course / "inbound").stat().st_mode & 0o777 == 0o733
    teacher.types(f"{autograder} build ch01_concepts")
    teacher.types(f"{nbgrader} release_assignment ch01_concepts --force")
    assert (course / "outbound" / TINY / NOTEBOOK).stat().st_mode & 0o777 == 0o644

    # 3. What students do
    teacher.types(f"{STUDENTS}nbgrader fetch_assignment ch01_concepts", student="ada")
    term.answer("ada", mean=RIGHT, reasons="The sum counts.")
    validate = f"{STUDENTS}nbgrader validate ch01_concepts/concepts.ipynb"
    said = teacher.types(validate, student="ada")
    assert "none: all visible checks pass" in said and "Hidden checks" in said
    submit = f"{STUDENTS}nbgrader submit ch01_concepts"
    teacher.types(submit, student="ada")
    shutil.copytree(course / "outbound" / TINY, term.place / "chen" / TINY)
    term.answer("chen", mean=WRONG)
    again = Typist(f"```console\n$ {submit}\n```\n" * 2, term.place)
    again.types(submit, student="chen")

    # 4. Collect and grade
    collect = f"{nbgrader} collect ch01_concepts --update"
    grade = f"{autograder} grade ch01_concepts"
    teacher.types(collect)
    assert "Not handed in: zoe" in teacher.types(grade)
    scores = {student: row["score"] for student, row in term.table().items()}
    assert scores == {"ada": "3", "chen": "0", "zoe": ""}
    assert "Zimmer" in (term.course / "reports" / TINY / "index.html").read_text()

    # 5. Mark by hand
    teacher.leaves_out(".venv/bin/jupyter lab")
    assert term.table()["ada"]["waiting"] == "1"
    term.mark_by_hand("ada", 4, "Well said.")
    teacher.types(f"{autograder} report ch01_concepts")
    assert (term.table()["ada"]["score"], term.table()["ada"]["waiting"]) == ("7", "0")

    # 6. Give feedback
    feedback = f"{autograder} feedback ch01_concepts"
    assert "made: 2, unchanged: 0, released: 2" in teacher.types(feedback)
    teacher.types(f"{STUDENTS}nbgrader fetch_feedback ch01_concepts", student="ada")
    assert "7 of 8 points" in term.fetched("ada") and "Well said." in term.fetched("ada")
    refused = teacher.types(f"{feedback} --mark-schemes", code=2)
    assert "no mark schemes before" in " ".join(refused.replace("│", " ").split())

    # 7. When students hand in again
    term.answer("chen", mean=ROUNDED)
    again.types(submit, student="chen")
    teacher.types(collect)
    said = teacher.types(grade)
    assert "moved: chen: mean: 0 → 1" in said and "moved: ada" not in said
    assert "made: 1, unchanged: 1, released: 1" in teacher.types(feedback)
    assert term.table()["ada"]["score"] == "7"  # what was marked by hand counts on

    # 8. Late work: the due date was yesterday.
    with term.book() as book:
        yesterday = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1)
        book.update_or_create_assignment(TINY, duedate=yesterday)
    term.configure(next(block for block in blocks("python", PAGE) if "penalty" in block))
    extend = f"{autograder} student extend"
    teacher.types(f"{extend} chen ch01_concepts --days 2")
    until = "2027-01-17 23:59 Europe/Berlin"
    said = teacher.types(f'{extend} zoe ch01_concepts --until "{until}"')  # nothing handed in
    assert f"zoe: {TINY} is due at 2099-01-17 22:59 UTC; for the others" in said
    said = teacher.types(grade)
    assert "moved: ada: late penalty: 0 → 7" in said and "moved: chen" not in said

    # 9. When a test was wrong
    section = term.course / "source" / TINY / "tiny.py"
    assert section.read_text().count(STRICT) == 1
    section.write_text(section.read_text().replace(STRICT, FAIR))
    moved = "moved: chen: mean: 1 → 3 (“mean_of_many” failed → passed: 0 → 2)"
    before = gradebook_scores(TINY, term.course)
    said = teacher.types(f"{grade} --no-gradebook")
    assert moved in said and "moved: ada" not in said
    assert gradebook_scores(TINY, term.course) == before
    assert moved in teacher.types(grade)
    assert "made: 2, unchanged: 0, released: 2" in teacher.types(feedback)

    # 10. Export the marks
    teacher.types(f"{nbgrader} export")
    with (term.course / "grades.csv").open(encoding="utf-8") as file:
        exported = {row["student_id"]: (row["email"], row["score"]) for row in csv.DictReader(file)}
    assert exported == {
        "ada": ("ada@example.org", "0.0"),  # late
        "chen": ("chen@example.org", "3.0"),
        "zoe": ("zoe@example.org", "0.0"),
    }

    # 11. Back up and restore
    (backup,) = (line for line in teacher.left if "tar -cz" in line)
    teacher.types(backup)
    assert (term.place / "teacher" / "class.tar.gz").stat().st_mode & 0o077 == 0
    marks, table = gradebook_scores(TINY, term.course), term.table()
    for name in ("submitted", "autograded", "feedback", "reports", "gradebook.db"):
        (term.course / name).rename(term.place / name)
    teacher.types("tar -xzf ~/class.tar.gz")
    assert "moved" not in teacher.types(grade)
    assert "made: 0, unchanged: 2, released: 0" in teacher.types(feedback)
    assert gradebook_scores(TINY, term.course) == marks
    assert term.table() == table

    # Before all is deleted: the second part.
    assert "chen" in looks_up.types(f"{grade} --student chen")
    other = term.course / "group2" / "submitted" / "bo" / TINY / NOTEBOOK
    other.parent.mkdir(parents=True)
    shutil.copy(term.course / "submitted" / "chen" / TINY / NOTEBOOK, other)
    looks_up.types(f"{grade} --submitted group2/submitted --json marks.json")
    assert '"student": "bo"' in (term.course / "marks.json").read_text()
    made = {path.name for path in (term.course / "group2").iterdir()}
    assert made == {"submitted", "autograded", "gradebook.db", "reports"}
    report = f"{autograder} report ch01_concepts"
    looks_up.types("cp reports/ch01_concepts/grades.json ~/before.json")
    assert "0 of 2 submissions differ" in looks_up.types(f"{report} --compare ~/before.json")
    assert "Code of 2 submissions" in looks_up.types(f"{report} --similarity ~/similarity")
    code = term.place / "teacher" / "similarity" / "mean" / "submissions" / "chen" / "mean.py"
    assert "round(sum(values)" in code.read_text()
    for tool in [line for line in looks_up.left if line.startswith("cd ~/similarity")]:
        looks_up.leaves_out(tool)

    # A homework of the teacher's own: the example of `nbgrader quickstart`.
    example = Path(quickstartapp.__file__).parents[1] / "docs" / "source" / "user_guide" / "source"
    shutil.copytree(example / "ps1", term.course / "source" / "ps1")
    looks_up.types(f"{nbgrader} generate_assignment ps1")
    shutil.copytree(term.course / "release" / "ps1", term.course / "submitted" / "chen" / "ps1")
    assert "not judged from outside" in looks_up.types(f"{autograder} grade ps1")
    with term.book() as book:
        assert book.find_submission("ps1", "chen").max_score > 0

    # A new version of the course, with an exercise more and other comments.
    upstream = term.upstream()
    for path, text in (
        (upstream / "source" / TINY / "tiny.py", written("more", "More.", 1)),
        (upstream / "nbgrader_config.py", "# theirs\n"),
    ):
        path.write_text(path.read_text() + text)
    git(upstream, "commit", "--quiet", "--all", "--message", "A new version")
    config = term.course / "nbgrader_config.py"
    config.write_text("# ours\n" + config.read_text())
    looks_up.types("git pull --rebase --autostash")
    assert config.read_text().startswith("# ours\n") and config.read_text().endswith("# theirs\n")
    looks_up.leaves_out("tools/setup")
    looks_up.leaves_out("sudo tools/setup --class /opt/large-models")
    moved = "moved: chen: W1 Reasons: no mark → 0"  # the question that chen could not answer
    assert moved in looks_up.types(f"{grade} --no-gradebook")
    with contextlib.chdir(term.course):
        code, said = run("grade", TINY)
        assert code == 2 and "Cannot add or remove cells" in said
        assert gradebook_scores(TINY, term.course) == marks
        looks_up.types("git checkout @{1} -- source/ch01_concepts release/ch01_concepts")
        code, said = run("grade", TINY)
        assert code == 0 and "moved" not in said
    assert gradebook_scores(TINY, term.course) == marks

    # 12. When a student leaves
    said = teacher.types(f"{autograder} student remove ada", answer="y\n")
    assert "ada is out of this class" in said
    for folder in (term.course / "submitted", course, term.course / "feedback"):
        assert [path for path in folder.rglob("*") if path.name.startswith("ada")] == []
    assert set(term.table()) == {"chen", "zoe"}

    # 13. The end of the term
    for line in [line for line in teacher.left if line.startswith("rm ")]:
        teacher.types(line)
    assert os.listdir(term.place / "exchange") == []
    left = set(os.listdir(term.course)) - {".git", ".venv", "__pycache__", "group2", "marks.json"}
    course_files = {"nbgrader_config.py", "notebooks", "release", "source"}
    assert left == course_files | {"class_config.py", "students.csv"}
    assert (teacher.left, looks_up.left) == ([], [])


def test_a_gradebook_on_a_server(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "ada" is the teacher's account, and the server believes it."""
    term, teacher = Term(tmp_path), Typist(ON_A_SERVER, tmp_path)
    teacher.names["sudo -u postgres "] = "PGUSER=postgres "
    teacher.environment = {"PGHOST": str(server.folder), "PGUSER": "ada"}
    for name, value in teacher.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(term.course)
    teacher.types("sudo -u postgres createuser ada")
    teacher.types("sudo -u postgres createdb --owner ada large_models")
    (setting,) = blocks("python", ON_A_SERVER)
    term.configure(setting)
    answers = as_bytes(fill({"mean": RIGHT, "reasons": "The sum."}, release(term.assignment)))
    hand_in(term.course, TINY, NOTEBOOK, {"ada": answers})
    assert run("grade", TINY)[0] == 0
    url = server.url("large_models", "ada")
    by_hand = "SELECT count(*) FROM grade WHERE manual_score = 4"
    with Gradebook(url) as book:
        grade = book.find_grade("reasons", "tiny", TINY, "ada")
        grade.manual_score, grade.needs_manual_grade = 4, False
        book.db.commit()
    run("report", TINY)
    assert term.table()["ada"]["score"] == "7"
    teacher.types("(umask 077; pg_dump --format=custom --file ~/marks.dump large_models)")
    assert (term.place / "teacher" / "marks.dump").stat().st_mode & 0o077 == 0
    server.sql("DELETE FROM comment; DELETE FROM grade", "large_models")
    teacher.types("pg_restore --clean --if-exists --dbname large_models ~/marks.dump")
    assert server.sql(by_hand, "large_models") == "1\n"
    code, said = run("grade", TINY)
    assert code == 0 and "moved" not in said
    assert term.table()["ada"]["score"] == "7"
    assert not (term.course / "gradebook.db").exists()
    teacher.types("dropdb large_models")
    assert teacher.left == []
