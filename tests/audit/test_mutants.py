"""Mutants: what is made of a solution, and the list of those that compute the same."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from autograder.audit.mutants import Mutant, as_entry, make_mutants, read_equivalent, sample
from autograder.course.source import Assignment, CourseError, grade_id


def solution(*lines: str, signature: str = "def f(x, y):") -> str:
    body = "".join(f"    {line}\n" for line in ("### BEGIN SOLUTION", *lines, "### END SOLUTION"))
    return f'{signature}\n    """Doc with the number 7."""\n{body}'


def changes(*lines: str, signature: str = "def f(x, y):") -> set[str]:
    """What the lines become."""
    return {mutant.after for mutant in make_mutants(solution(*lines, signature=signature))}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("scores = x @ y.mT", "scores = x @ y"),
        ("scores = x @ y.transpose(-2, -1)", "scores = x @ y"),
        ("scores = x @ y / math.sqrt(d)", "scores = (x @ y)"),  # no scale
        ("scores = x / math.sqrt(d)", "scores = x / (d)"),
        ("weights = torch.softmax(x, dim=-1)", "weights = torch.softmax(x, dim=- 2)"),
        ("weights = torch.softmax(x, dim=-1)", "weights = torch.softmax(x)"),
        ("weights = torch.softmax(x, dim=-1)", "weights = (x)"),
        ("m = x.max(dim=-1, keepdim=True)", "m = x.max(dim=-1, keepdim=False)"),
        ("x = x.masked_fill(y, 0)", "pass"),
        ("h = torch.matmul(x, y)", "h = torch.matmul(y, x)"),
        ("loss = x.mean()", "loss = x.sum()"),
        ("h = torch.relu(x)", "h = (torch.relu(x)).detach()"),
        ("optimizer.zero_grad()", "pass"),
        ("step = m / (np.sqrt(v) + 1e-8)", "step = m / (np.sqrt(v + 1e-8))"),
        ("layer = nn.Linear(3, 4, bias=False)", "layer = nn.Linear(3, 4)"),
        ("h = x.to(torch.float32)", "h = x.to(torch.float64)"),
        ("sampler.set_epoch(epoch)", "pass"),
        ("dist.all_reduce(x)", "pass"),
        ("return x[1:]", "return x[:]"),
        ("return x - y", "return x - x"),
        ("return x < y", "return x <= y"),
        ("return 3e-3 * x", "return (2 * 3e-3) * x"),
    ],
)
def test_the_mistake_is_made(line: str, wanted: str) -> None:
    assert wanted in changes(line)


def test_a_context_is_left_and_a_condition_decided() -> None:
    made = changes("with torch.no_grad():", "    if y is None:", "        x = x + 1")
    assert any("nullcontext" in line for line in made)
    assert {"if True:", "if False:"} <= made


def test_only_the_solution_is_changed() -> None:
    cell = solution("return x * scale", signature="def f(x, y, scale=7):")
    for mutant in make_mutants(cell):
        assert "scale=7" in mutant.source
        assert "number 7" in mutant.source
        assert mutant.function == "f"


@pytest.mark.parametrize("exercise", ["attention", "digits_cnn"])
def test_no_mutant_is_made_twice_or_equals_the_solution(
    exercise: str, assignment: Assignment
) -> None:
    (cell,) = (c for c in assignment.source.cells if grade_id(c) == exercise)
    made = make_mutants(cell.source)
    meanings = [ast.dump(ast.parse(mutant.source)) for mutant in made]
    assert len(set(meanings)) == len(meanings) > 100
    assert ast.dump(ast.parse(cell.source)) not in meanings
    assert made == make_mutants(cell.source)


def test_a_letter_beyond_ascii_moves_nothing() -> None:
    assert "h = 'é' + x" in changes("h = 'é' + x.mT")


def test_a_sample_is_the_same_each_time_and_keeps_the_order() -> None:
    made = make_mutants(solution("return x * 2 + y / 3 - 4"))
    assert len(made) > 8
    some = sample(made, 5)
    assert some == sample(made, 5) == [m for m in made if m in some]
    assert len(some) == 5
    assert sample(made, 1000) == made


def test_an_entry_that_was_printed_is_read_back(tmp_path: Path) -> None:
    mutants = make_mutants(solution("if x:", "    y = [", "        1,", "    ]", "return y"))
    path = tmp_path / "equivalent.toml"
    path.write_text("\n".join(as_entry(m).replace("reason = ''", "reason = 'r'") for m in mutants))
    assert set(read_equivalent(path)) == {mutant.key for mutant in mutants}
    assert read_equivalent(tmp_path / "none.toml") == {}


@pytest.mark.parametrize(
    "text",
    [
        "[[mutant]\n",
        "mutant = 3",
        "[[mutant]]\nfunction = 'f'\nbefore = 'a'\nreason = 'r'",
        "[[mutant]]\nfunction = 'f'\nbefore = 'a'\nafter = 'b'\nreason = ' '",
        "other = 1",
        "[[mutant]]\nfunction = 'f'\nbefore = 'a'\nafter = 'b'\nreason = 3",
    ],
)
def test_a_list_that_cannot_be_used_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "equivalent.toml"
    path.write_text(text)
    with pytest.raises(CourseError, match=r"equivalent\.toml"):
        read_equivalent(path)


def test_the_difference_names_function_and_lines() -> None:
    mutant = Mutant("dropping a term", "", "Layer.forward", "x + 1", "x")
    assert mutant.difference == "in Layer.forward, by dropping a term:\n- x + 1\n+ x"
