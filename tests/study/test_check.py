"""`%check`, `%hint`, `%solution` and `%progress` as a learner meets them."""

from __future__ import annotations

import random
import re
import shutil
import sys
from datetime import timedelta
from html.parser import HTMLParser

import pytest
import tiny
from sample_class import ROOT
from studying import RIGHT, SETUP, STUB, TESTS, WRONG, Notebook

from autograder.course.cells import grade_id, is_answer, is_test
from autograder.course.source import Course
from autograder.study.chapter import NotFound, read_source
from autograder.study.contents import read_chapters


def change_the_source(notebook: Notebook, old: str, new: str) -> None:
    """Changes the course's source, which each `%check` reads anew."""
    source = next(notebook.folder.parent.parent.glob("source/*/*.py"))
    assert old in source.read_text()
    source.write_text(source.read_text().replace(old, new))


def test_check_shows_the_hidden_property_that_fails_and_then_full_marks(
    notebook: Notebook,
) -> None:
    notebook.run(WRONG, "scale")
    shown = notebook.run("%check")
    text = shown["text/plain"]
    assert "Every value is divided by the root of the width. (hidden)" in text
    assert "Hint: Which root?" in text
    assert "Attempt 1. Best: 1 of 3." in text
    assert "a class is graded by it, too" in text
    assert "9.1 Scale: 1 of 3 points" in shown["text/html"]
    notebook.run(RIGHT, "scale")
    text = notebook.says("%check")
    assert "Attempt 2. Best: 3 of 3." in text
    assert "All checks pass. Run the rest of the section" in text
    assert "Next: 9.2 Twice (`%check twice`)." in text
    standing = notebook.progress.standing(tiny.TINY, "scale")
    assert (standing.attempts, standing.best, standing.solved) == (2, 3, True)


@pytest.mark.parametrize("name", ["scale", "test_scale", "9.1", "  scale "])
def test_an_exercise_is_named_by_its_id_or_its_number(notebook: Notebook, name: str) -> None:
    notebook.run(RIGHT, "scale")
    assert set(notebook.outcomes(f"%check {name}").values()) == {"passed"}


def test_check_alone_takes_the_exercise_whose_cell_ran_last(notebook: Notebook) -> None:
    assert "No exercise's cell ran yet" in notebook.says("%check")
    notebook.run(RIGHT, "scale")
    notebook.run("def twice(x): return x + x", "twice")
    assert list(notebook.outcomes()) == ["doubles"]
    notebook.run(RIGHT)  # a front end that tells no ids: by what the cell defines
    assert list(notebook.outcomes()) == ["keeps_the_length", "divides_by_the_root"]
    notebook.run(TESTS, "test_scale")
    notebook.run("1 + 1", "mine")
    assert "divides_by_the_root" in notebook.outcomes()


def test_a_name_that_is_no_exercise_is_answered_with_those_that_are(notebook: Notebook) -> None:
    said = notebook.says("%check attention")
    assert "no exercise 'attention'. Its exercises are: scale, twice." in said


@pytest.mark.parametrize(
    ("name", "meant"), [("SCALE", "scale"), ("scales", "scale"), ("Twiec", "twice")]
)
def test_a_misspelt_name_is_answered_with_the_one_that_is_like_it(
    notebook: Notebook, name: str, meant: str
) -> None:
    assert f"Did you mean `{meant}`?" in notebook.says(f"%check {name}")


def test_a_word_of_a_title_finds_the_exercise() -> None:
    chapter = read_source(ROOT / "source" / "ch01_concepts")
    with pytest.raises(NotFound, match="Did you mean `bpe`"):
        chapter.exercise("Tokens")
    with pytest.raises(NotFound) as many:  # in several titles
        chapter.exercise("repaired")
    assert "Did you mean" not in str(many.value)


def test_exercises_are_called_as_their_sections_are() -> None:
    """As the start page and the graders call them, too."""
    for name in Course(ROOT).chapters:
        exercises = read_source(ROOT / "source" / name).exercises
        called = {id: exercise.title for id, exercise in exercises.items()}
        graded = {e.id: e.title for e in Course(ROOT).assignment(name).exercises if e.test_id}
        assert called == graded
        (pages,) = (c for c in read_chapters(ROOT) if c.name == name)
        assert called == {r.exercise: f"{r.label} {r.title}" for r in pages.rows if r.exercise}


def test_an_exercise_not_attempted_is_no_attempt(notebook: Notebook) -> None:
    notebook.run(STUB + "    raise NotImplementedError", "scale")
    assert set(notebook.outcomes().values()) == {"not attempted"}
    assert "replace `raise NotImplementedError` in the cell of scale" in notebook.says("%check")
    assert notebook.progress.standing(tiny.TINY, "scale").attempts == 0


def test_an_untouched_cell_is_no_attempt_whatever_the_checks_say_of_it(notebook: Notebook) -> None:
    change_the_source(
        notebook,
        "    assert twice(4) == 8\n",
        "    try:\n        twice(4)\n    except Exception:\n        fail('It raises.')\n",
    )
    notebook.run("def twice(x):\n    raise NotImplementedError", "twice")
    assert set(notebook.outcomes().values()) == {"not attempted"}
    assert notebook.progress.standing(tiny.TINY, "twice").attempts == 0
    notebook.run("def twice(x):\n    raise ValueError", "twice")
    assert set(notebook.outcomes().values()) == {"failed"}
    assert notebook.progress.standing(tiny.TINY, "twice").attempts == 1


def test_check_runs_no_cell_again_and_leaves_everything_as_it_was(notebook: Notebook) -> None:
    notebook.run("calls = []\ncheck = 'mine'\nexpected = 7", "mine")
    leaky = "    calls.append(1)\n    globals()['left'] = 1\n    globals()['expected'] = 8\n"
    notebook.run(RIGHT.replace("\n", "\n" + leaky, 1), "scale")
    random.seed(5)
    drawn = random.random()
    random.seed(5)
    before, streams = dict(notebook.names), (sys.stdout, sys.stderr)
    assert set(notebook.outcomes("%check scale").values()) == {"passed"}
    assert random.random() == drawn
    after = notebook.names
    assert after["calls"] == [1, 1]
    changed = {k for k in before.keys() | after.keys() if before.get(k) is not after.get(k)}
    assert {name for name in changed if not name.startswith("_")} == set()
    assert (sys.stdout, sys.stderr) == streams


def test_names_that_only_a_test_cell_uses_do_not_meet_the_learners(notebook: Notebook) -> None:
    notebook.run("expected = 'a helper of my own'\n" + RIGHT + "\n", "scale")
    answer = (
        "def scale(values, width):\n    assert expected == 'a helper of my own'\n    return values"
    )
    notebook.run(answer, "scale")
    assert notebook.outcomes()["keeps_the_length"] == "passed"


@pytest.mark.parametrize("where", ["in the answer", "in the test cell"])
def test_an_interrupt_stops_the_checks_and_leaves_the_kernel_usable(
    notebook: Notebook, where: str
) -> None:
    stop = "import signal\nsignal.raise_signal(signal.SIGINT)"
    if where == "in the answer":
        notebook.run(
            "import signal\ndef scale(values, width):\n    signal.raise_signal(signal.SIGINT)\n",
            "scale",
        )
    else:
        notebook.run(RIGHT, "scale")
        change_the_source(notebook, "expected = [0.5, -1.5]", stop)
    streams = sys.stdout, sys.stderr
    said = notebook.says("%check scale")
    assert "Stopped. This was not counted as an attempt." in said
    assert "timed out" not in said
    if where == "in the answer":
        assert set(notebook.outcomes("%check scale").values()) == {"not run"}
    assert (sys.stdout, sys.stderr) == streams
    assert notebook.progress.standing(tiny.TINY, "scale").attempts == 0
    notebook.run("x = 1 + 1")
    assert notebook.names["x"] == 2
    assert "expected" not in notebook.names


def test_a_copy_without_the_source_has_the_visible_checks_and_says_so(notebook: Notebook) -> None:
    shutil.rmtree(notebook.folder.parent.parent / "source")
    visible = re.sub(r"### BEGIN HIDDEN.*### END HIDDEN TESTS\n", "", TESTS, flags=re.DOTALL)
    notebook.save(("setup", SETUP), ("scale", WRONG), ("test_scale", visible), later=-5)
    notebook.run(WRONG, "scale")
    text = notebook.says("%check")
    assert "keeps" not in text
    assert "There are as many results as values." in text
    assert "Hidden checks decide on 2 more of 3 points when you hand in." in text
    assert "no solutions" in notebook.says("%solution")


def test_each_hint_comes_once_and_then_all(notebook: Notebook) -> None:
    first = notebook.says("%hint scale")
    assert "Hint 1: which root?" in first and "The square root." in first
    assert "which width?" not in first and "1 more hint" in first
    second = notebook.says("%hint scale")
    assert "Hint: which width?" in second and "Hint 1" not in second
    every = notebook.says("%hint scale")
    assert "Hint 1" in every and "which width?" in every
    assert notebook.progress.standing(tiny.TINY, "scale").hints == 2
    assert "There are no hints for twice." in notebook.says("%hint twice")


def test_the_solution_asks_once_and_is_remembered(notebook: Notebook) -> None:
    asked = notebook.says("%solution scale")
    assert "run `%solution scale` once more" in asked and "inverse_root(width)" not in asked
    shown = notebook.says("%solution scale")
    assert "return [value * inverse_root(width) for value in values]" in shown
    assert "BEGIN SOLUTION" not in shown
    assert "Another right answer: with a power" in shown and "width**-0.5" in shown
    assert notebook.progress.standing(tiny.TINY, "scale").solution_seen
    again = Notebook(notebook.folder)  # a new kernel does not ask again
    assert "inverse_root(width)" in again.says("%solution scale")


def test_progress_is_found_again_in_a_new_kernel(notebook: Notebook) -> None:
    notebook.run(RIGHT, "scale")
    notebook.run("%check")
    text = Notebook(notebook.folder).says("%progress")
    assert "1 of 2 exercises solved" in text
    assert re.search(r"9\.1 Scale +3 of 3 +1 +0 +not seen +\d{4}-\d\d-\d\d", text)
    assert re.search(r"9\.2 Twice +not tried", text)
    assert "Next: 9.2 Twice" in text


def test_an_exercise_solved_long_ago_is_proposed_again(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook.run(RIGHT, "scale")
    assert "long ago" not in notebook.says("%check") + notebook.says("%progress")
    monkeypatch.setattr("autograder.study.progress.LONG_AGO", timedelta(0))
    assert "You solved this long ago: 9.1 Scale." in notebook.says("%progress")


def test_a_progress_file_that_cannot_be_written_costs_no_result(notebook: Notebook) -> None:
    notebook.progress.path.mkdir(parents=True)
    notebook.run(RIGHT, "scale")
    assert "3 of 3 points" in notebook.says("%check")
    assert "Hint 1" in notebook.says("%hint")
    assert "which width?" in notebook.says("%hint")


# ------------------------------------------------------- what the checks cannot explain


def test_a_set_up_cell_that_has_not_run_is_named(tmp_path, monkeypatch) -> None:
    from studying import make_course

    monkeypatch.chdir(tmp_path)
    fresh = Notebook(make_course(tmp_path))
    fresh.run(RIGHT, "scale")
    said = fresh.says("%check")
    assert "is missing: a set-up cell has not run" in said
    assert "begins with `import math`" in said


def test_an_exercise_whose_cell_has_not_run_says_so(notebook: Notebook) -> None:
    assert "`scale` is not defined. Run the cell of scale first" in notebook.says("%check scale")


def test_a_forgotten_return_is_named(notebook: Notebook) -> None:
    notebook.run("def scale(values, width):\n    [v / width**0.5 for v in values]", "scale")
    assert "`scale` never returns a result" in notebook.says("%check")


def test_a_none_is_explained_once_and_without_hints(notebook: Notebook) -> None:
    """Only the function that returns nothing is named, not all that a check calls."""
    change_the_source(
        notebook,
        "assert probe(scale, [1.0, -3.0], width) == expected",
        "assert [inverse_root(4), *scale([1.0, -3.0], width)] == expected",
    )
    notebook.run(
        "def scale(values, width):\n    [v / width**0.5 for v in values]\n\n"
        "def inverse_root(width):\n    return width**-0.5",
        "scale",
    )
    said = notebook.says("%check")
    assert said.count("No result comes from `scale`.") == 1
    assert "failed: the same error as above" in said
    assert "inverse_root" not in said
    assert "NoneType" not in said
    assert "Hint" not in said


def test_one_error_in_all_checks_is_explained_once_and_without_hints(notebook: Notebook) -> None:
    notebook.run("def scale(values, width):\n    return values / width", "scale")
    said = notebook.says("%check")
    assert said.count("at line 2 of the cell, in scale: return values / width") == 1
    assert "error in your code: the same error as above" in said
    assert "Hint" not in said
    page = notebook.run("%check")["text/html"]
    assert page.count("at line 2") == page.count("the same error as above") == 1


def test_an_error_in_one_check_keeps_its_hint(notebook: Notebook) -> None:
    answer = "def scale(values, width):\n    return [v * {4: 0.5}[width] for v in values]"
    notebook.run(answer, "scale")
    said = notebook.says("%check")
    assert "KeyError: 1" in said
    assert "Hint: One number for each." in said
    assert "same error" not in said


@pytest.mark.parametrize(
    "body",
    [
        "return [v / width**0.5 for v in values]",
        "yield from values",
        "raise NotImplementedError",
        "if width:\n        return values",
    ],
)
def test_a_function_that_returns_is_not_suspected(notebook: Notebook, body: str) -> None:
    notebook.run(f"def scale(values, width):\n    {body}", "scale")
    assert "never returns" not in notebook.says("%check")


def test_a_cell_that_stopped_with_an_error_is_named(notebook: Notebook) -> None:
    notebook.run(RIGHT, "scale")
    notebook.run(WRONG.replace("list(values)", "list(values"), "scale")
    said = notebook.says("%check")
    assert "The cell of scale stopped with an error (SyntaxError" in said
    assert "older versions may still be in use" in said
    assert "not counted as an attempt" in said
    assert "All checks pass" not in said


def test_a_helper_of_the_solution_is_not_missed(notebook: Notebook) -> None:
    notebook.run(RIGHT, "scale")
    said = notebook.says("%check")
    assert "All checks pass" in said
    assert "not defined" not in said


def test_a_cell_changed_and_not_run_again_is_named(notebook: Notebook) -> None:
    notebook.run(WRONG, "scale")
    notebook.save(("scale", RIGHT))
    said = notebook.says("%check")
    assert "The cell of scale was changed after it last ran." in said
    assert "not counted as an attempt" in said
    assert "Attempt" not in said
    notebook.run(RIGHT, "scale")
    assert "was changed" not in notebook.says("%check")


def test_a_file_saved_before_the_cell_ran_says_nothing(notebook: Notebook) -> None:
    notebook.save(("scale", WRONG), later=-5)
    notebook.run(RIGHT, "scale")
    assert "was changed" not in notebook.says("%check")


def test_a_function_from_another_cell_is_named(notebook: Notebook) -> None:
    notebook.run(RIGHT, "scale")
    notebook.run("# a try\ndef scale(values, width):\n    return values", "mine")
    said = notebook.says("%check scale")
    assert "`scale` comes from another cell now, one that begins with `# a try`" in said


def test_a_helper_that_is_gone_or_stale_is_named(notebook: Notebook) -> None:
    helper = "def root(x):\n    return x**0.5"
    answer = "def scale(values, width):\n    return [v / root(width) for v in values]"
    notebook.run(helper, "mine")
    notebook.run(answer, "scale")
    notebook.save(("mine", helper), ("scale", answer))
    assert "`root`" not in notebook.says("%check")
    notebook.save(("scale", answer))
    assert "`root` is only in the kernel's memory" in notebook.says("%check")
    notebook.save(("mine", helper.replace("0.5", "0.25")), ("scale", answer))
    assert "The cell that makes `root` was changed after it last ran" in notebook.says("%check")


def test_an_error_shows_the_learners_own_line(notebook: Notebook) -> None:
    notebook.run("def scale(values, width):\n    return values / width", "scale")
    said = notebook.says("%check")
    assert "at line 2 of the cell, in scale: return values / width" in said


# --------------------------------------------------------------- what it is made of


class Outline(HTMLParser):
    """Tags with their attributes, as a screen reader meets them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("command", ["%check scale", "%progress"])
def test_tables_have_a_caption_and_headers_and_say_outcomes_in_words(
    notebook: Notebook, command: str
) -> None:
    notebook.run(WRONG, "scale")
    page = notebook.run(command)["text/html"]
    tags = Outline(page).tags
    names = [name for name, _ in tags]
    assert names.count("caption") == 1
    scopes = [attributes.get("scope") for name, attributes in tags if name == "th"]
    columns = scopes.index("row")
    assert set(scopes[:columns]) == {"col"} and set(scopes[columns:]) == {"row"}
    assert len(scopes) - columns == names.count("tr") - 1
    if command == "%check scale":
        plain = re.sub(r"<[^>]*>", " ", page)
        assert "passed" in plain and "failed" in plain
    for _, attributes in tags:  # every colour is JupyterLab's, with one for other pages
        for colour in re.findall(r"color:([^;]+)", attributes.get("style") or ""):
            assert colour.startswith(("var(--jp-", "inherit"))


@pytest.mark.parametrize("name", Course(ROOT).chapters)
def test_the_light_reader_of_chapters_agrees_with_the_builders(name: str) -> None:
    chapter = read_source(ROOT / "source" / name)
    assignment = Course(ROOT).assignment(name)
    written = [cell for cell in assignment.source.cells if grade_id(cell)]
    read = [cell for cell in chapter.cells if cell.courses_own]
    assert [(c.id, c.kind, c.source) for c in read] == [
        (grade_id(c), c.cell_type, c.source) for c in written
    ]
    assert [c.solution for c in read] == [is_answer(c) for c in written]
    assert [c.kind == "code" and c.grade for c in read] == [is_test(c) for c in written]
    assert list(chapter.exercises) == [e.id for e in assignment.exercises if e.test_id]
