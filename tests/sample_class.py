"""Makes a class of twelve submissions of chapter 1 from the answers in tests/answers.

    python tests/sample_class.py FOLDER

writes FOLDER/submitted/STUDENT/ch01_concepts/concepts.ipynb: good, middling and untouched
work, and each kind of bad input. The same answers give the same files.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.course.source import grade_id

ROOT = Path(__file__).parent.parent
CHAPTER = "ch01_concepts"
WRITTEN = """\
**1.** Ten times the parameters cost ten times the FLOPs per token: C = 6ND (arXiv:2001.08361).
**6.** There is no threshold; BERT-large had 340 million parameters.
**9.** The KV cache of Llama 3 8B takes 1 GiB per 8,192 tokens."""


def answer(exercise: str, name: str) -> str:
    """The text of one of the collected answers."""
    path = ROOT / "tests" / "answers" / CHAPTER / exercise / f"{name}.py"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(
        line for line in lines if not line.startswith(("# Right:", "# Wrong:", "# Fails:"))
    )


def release() -> NotebookNode:
    """A fresh copy of what students get."""
    return nbformat.read(ROOT / "release" / CHAPTER / "concepts.ipynb", as_version=4)


def fill(answers: dict[str, str], notebook: NotebookNode | None = None) -> NotebookNode:
    """The release with these texts in the exercises' cells."""
    filled = notebook or release()
    for cell in filled.cells:
        cell.source = answers.get(grade_id(cell) or "", cell.source)
    return filled


def stock_config() -> str:
    """The course's nbgrader_config.py for nbgrader's own engine instead of ours."""
    ours = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    return f'{ours}\nc.Autograde.pop("autograde_preprocessors")\nc.Execute.timeout = 120\n'


def everything() -> dict[str, str]:
    """A right answer to each exercise."""
    folders = sorted((ROOT / "tests" / "answers" / CHAPTER).iterdir())
    first = {f.name: min(path.stem for path in f.glob("right_*.py")) for f in folders}
    answers = {exercise: answer(exercise, name) for exercise, name in first.items()}
    return {**answers, "claims_answer": WRITTEN}


def _excellent() -> dict[str, str]:
    """The three exercises that the deadline asks for; the others are still to be done."""
    return {
        "budget": answer("budget", "right_sum_over_a_list_of_shapes"),
        "attention": answer("attention", "right_einsum"),
        "digits_cnn": answer("digits_cnn", "right_functional_api"),
        "claims_answer": WRITTEN,
    }


def _fluent() -> dict[str, str]:
    return {
        "budget": answer("budget", "right_per_token_costs"),
        "attention": answer("attention", "right_loops"),
        "digits_cnn": answer("digits_cnn", "wrong_default_learning_rate"),
        "claims_answer": WRITTEN,
    }


def _middling() -> dict[str, str]:
    return {
        "budget": answer("budget", "wrong_no_biases"),
        "attention": answer("attention", "wrong_no_scale"),
        "digits_cnn": answer("digits_cnn", "wrong_softmax_and_loss_of_probabilities"),
    }


def _started() -> dict[str, str]:
    return {
        "budget": answer("budget", "wrong_training_six_n_d"),
        "attention": "def attention(query, key, value, mask=None)\n    return query @ key.mT",
    }


def _loops_for_ever() -> dict[str, str]:
    loop = "\n\nwhile attention is not None:\n    pass\n"
    return {**_excellent(), "attention": answer("attention", "right_einsum") + loop}


def _kills_its_kernel() -> dict[str, str]:
    crash = "\n\ndef gpu_hours(flops, peak, utilisation):\n    import os\n    os._exit(1)\n"
    return {**_excellent(), "budget": answer("budget", "right_per_token_costs") + crash}


def _prints_without_end() -> dict[str, str]:
    flood = "\n\nwhile True:\n    print('training ...' * 100)\n"
    return {**_excellent(), "digits_cnn": answer("digits_cnn", "right_functional_api") + flood}


def _without_test_cells() -> NotebookNode:
    notebook = fill(_excellent())
    notebook.cells = [c for c in notebook.cells if not (grade_id(c) or "").startswith("test_")]
    return notebook


def students() -> dict[str, Callable[[], bytes]]:
    """What each student hands in, by name."""

    def filled(answers: Callable[[], dict[str, str]]) -> Callable[[], bytes]:
        return lambda: as_bytes(fill(answers()))

    return {
        "ada": filled(everything),
        "bruno": filled(_fluent),
        "chen": filled(_middling),
        "dilnoza": filled(
            lambda: {**_excellent(), "attention": answer("attention", "wrong_no_scale")}
        ),
        "emeka": filled(_started),
        "freya": lambda: as_bytes(release()),  # untouched
        "goran": filled(_loops_for_ever),
        "hiroko": filled(_kills_its_kernel),
        "ines": filled(_prints_without_end),
        "jonas": lambda: as_bytes(fill(_excellent()))[:20_000],  # the upload broke off
        "katya": lambda: as_bytes(_without_test_cells()),
        "luis": lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
    }


def as_bytes(notebook: NotebookNode) -> bytes:
    """The file that JupyterLab would save."""
    text: str = nbformat.writes(notebook)
    return text.encode()


def main() -> None:
    """Writes the class; what an earlier run left in FOLDER/submitted goes away."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    submitted = Path(sys.argv[1]) / "submitted"
    shutil.rmtree(submitted, ignore_errors=True)
    for student, make in students().items():
        folder = submitted / student / CHAPTER
        folder.mkdir(parents=True)
        (folder / "concepts.ipynb").write_bytes(make())
    print(f"{len(students())} submissions in {submitted}")


if __name__ == "__main__":
    main()
