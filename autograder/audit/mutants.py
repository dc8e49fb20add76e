"""Makes mutants of a reference solution: copies with one small mistake each.

A mutant that a test cell accepts shows a property that no check proves (DeMillo, Lipton and
Sayward, "Hints on test data selection", Computer 11(4), 1978). The general operators (arithmetic,
comparisons, numbers, loops) are those of cosmic-ray, used as a library. The others are for this
field: they drop transposes, scales, masks and biases, detach, exchange arguments, dimensions, types
and reductions, and move an epsilon into the root. They work on `ast` positions and replace
only the piece they change, so that a survivor's difference reads well.
"""

from __future__ import annotations

import ast
import difflib
import random
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autograder.course.cells import Region, parse_lines
from autograder.course.names import parse
from autograder.course.source import CourseError

MODULES = {"torch", "F", "nn", "np", "math", "keras", "tf", "random", "dist"}
EXCHANGED = [
    ("mean", "sum"),
    ("max", "min"),
    ("amax", "amin"),
    ("argmax", "argmin"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("floor", "ceil"),
    ("floor", "round"),
    ("triu", "tril"),
    ("rand", "randn"),
    ("var", "std"),
    ("log", "log2"),
    ("relu", "tanh"),
    ("softmax", "sigmoid"),
    ("sigmoid", "tanh"),
    ("transpose", "reshape"),
    ("append", "extend"),
    ("train", "eval"),
    ("no_grad", "enable_grad"),
    ("float32", "float64"),
    ("float16", "bfloat16"),
    ("float", "double"),
    ("reflect", "constant"),
]
# Of cosmic-ray's exchanges of one operator for another, those that people confuse.
CONFUSED = {
    *("Add_Sub", "Add_Mul", "Sub_Add", "Mul_Add", "Mul_Div", "Div_Mul", "Div_FloorDiv"),
    *("FloorDiv_Div", "Pow_Mul", "BitAnd_BitOr", "BitOr_BitAnd"),
}


@dataclass(frozen=True)
class Mutant:
    """One changed copy of a solution.

    Attributes:
        operator: what was done.
        source: the whole cell, changed.
        function: the function or method, as in `Class.method`, in which the change lies.
        before, after: the lines that differ, without indentation.
    """

    operator: str
    source: str
    function: str
    before: str
    after: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Identifies it in a list of equivalent mutants."""
        return self.function, self.before, self.after

    @property
    def difference(self) -> str:
        """For people."""
        lines = [f"in {self.function}, by {self.operator}:"]
        lines += [f"- {line}" for line in self.before.splitlines()]
        lines += [f"+ {line}" for line in self.after.splitlines()]
        return "\n".join(lines)


def make_mutants(cell: str) -> list[Mutant]:
    """All mutants of a solution cell, in the order of its lines; none twice, none equal to it.

    Args:
        cell: the reference solution with nbgrader's markers. What stands outside them (the given
            signatures and docstrings) is not changed.
    """
    solution = _Solution(cell)
    seen = {solution.meaning}
    found = []
    for operator, source in [*_general(cell), *_of_this_field(solution)]:
        try:
            meaning = ast.dump(parse(source))
        except (SyntaxError, ValueError):
            continue
        if meaning in seen:
            continue
        mutant = solution.compare(operator, source)
        if mutant is not None:
            seen.add(meaning)
            found.append(mutant)
    return sorted(found, key=lambda mutant: solution.first_difference(mutant.source))


def sample(mutants: list[Mutant], number: int) -> list[Mutant]:
    """That many of them, the same ones each time."""
    chosen = set(random.Random(0).sample(range(len(mutants)), min(number, len(mutants))))
    return [mutant for index, mutant in enumerate(mutants) if index in chosen]


def read_equivalent(path: Path) -> dict[tuple[str, str, str], str]:
    """The mutants that compute the same as the solution, by key, with the reasons.

    Raises:
        CourseError: if the file has entries that cannot be used.
    """
    if not path.exists():
        return {}
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
        found = {}
        for entry in entries:
            before, after = (_plain(entry[key].splitlines()) for key in ("before", "after"))
            if not entry["reason"].strip():
                raise ValueError(f"an entry without a reason: {before}")
            found[entry["function"], before, after] = entry["reason"]
        return found
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CourseError(
            f"{path}: each [[mutant]] needs function, before, after and reason ({error!r})"
        ) from None


def as_entry(mutant: Mutant) -> str:
    """The mutant as it would stand in equivalent.toml, the reason left open."""

    def quoted(text: str) -> str:
        return f"'''\n{text}'''" if "\n" in text else f"'''{text}'''"

    return (
        f"[[mutant]]\nfunction = '{mutant.function}'\nbefore = {quoted(mutant.before)}\n"
        f"after = {quoted(mutant.after)}\nreason = ''\n"
    )


def _plain(lines: Iterable[str]) -> str:
    return "\n".join(stripped for line in lines if (stripped := line.strip()))


class _Solution:
    """A solution cell, parsed."""

    def __init__(self, cell: str):
        self.cell = cell
        self.lines = cell.splitlines()
        self.bytes = cell.encode()
        self.tree = parse(cell)
        self.meaning = ast.dump(self.tree)

    @cached_property
    def line_starts(self) -> list[int]:
        """Of each line, in bytes, as ast counts columns."""
        starts = [0]
        for line in self.cell.splitlines(keepends=True):
            starts.append(starts[-1] + len(line.encode()))
        return starts

    @cached_property
    def open_lines(self) -> set[int]:
        """Numbers of the lines, from one, between the markers."""
        return {
            number
            for number, line in enumerate(parse_lines(self.cell), 1)
            if line.region is Region.SOLUTION and not line.is_marker
        }

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self.line_starts[node.lineno - 1] + node.col_offset
        return start, self.line_starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self.bytes[start:end].decode()

    def replace(self, node: ast.expr | ast.stmt, text: str) -> str:
        start, end = self.span(node)
        return (self.bytes[:start] + text.encode() + self.bytes[end:]).decode()

    def first_difference(self, source: str) -> int:
        pairs = zip(self.lines, source.splitlines(), strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(self.lines))

    def compare(self, operator: str, source: str) -> Mutant | None:
        """The mutant, unless it changes what the student is given."""
        changed = source.splitlines()
        before: list[str] = []
        after: list[str] = []
        matcher = difflib.SequenceMatcher(None, self.lines, changed, autojunk=False)
        for kind, low, high, new_low, new_high in matcher.get_opcodes():
            if kind != "equal":
                if not set(range(low + 1, high + 1)) <= self.open_lines:
                    return None
                before += self.lines[low:high]
                after += changed[new_low:new_high]
        function = self._function_at(self.first_difference(source) + 1)
        return Mutant(operator, source, function, _plain(before), _plain(after))

    def _function_at(self, line: int) -> str:
        names = []
        nodes: list[ast.AST] = [self.tree]
        while nodes:
            node = nodes.pop()
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.stmt) and child.lineno <= line <= (child.end_lineno or 0):
                    if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                        names.append(child.name)
                    nodes.append(child)
        return ".".join(names) or "the cell"


def _general(cell: str) -> Iterator[tuple[str, str]]:
    """cosmic-ray's operators that need no settings of their own."""
    try:  # only authors of exercises need it
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator, operator_names
    except ImportError:
        raise CourseError("mutants need cosmic-ray: pip install autograder[dev]") from None

    for full_name in sorted(operator_names()):
        operator = get_operator(full_name)
        name = full_name.removeprefix("core/")
        if operator.arguments() or not _makes_sense(name):
            continue
        occurrence = 0
        while (source := mutate_code(cell, operator(), occurrence)) is not None:
            yield name, source
            occurrence += 1


def _makes_sense(name: str) -> bool:
    kind, _, operators = name.partition("_")
    return operators in CONFUSED if kind == "ReplaceBinaryOperator" else True


def _of_this_field(solution: _Solution) -> Iterator[tuple[str, str]]:
    for node in ast.walk(solution.tree):
        if isinstance(node, ast.stmt):
            yield from _statements(solution, node)
        yield from _expressions(solution, node)
        yield from _exchanges(solution, node)


def _expressions(solution: _Solution, node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Call):
        yield from _calls(solution, node)
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield "dropping a transpose", solution.replace(node, solution.text(node.value))
    elif isinstance(node, ast.BinOp):
        yield from _terms(solution, node)
    elif isinstance(node, ast.Slice):
        for bound in (node.lower, node.upper):
            if bound is not None:
                yield "dropping a slice's bound", solution.replace(bound, "")
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield "doubling a number", solution.replace(node, f"(2 * {solution.text(node)})")
    elif isinstance(node, ast.IfExp):
        for branch in (node.body, node.orelse):
            yield "taking one branch always", solution.replace(node, solution.text(branch))
    elif isinstance(node, ast.If):
        for value in ("True", "False"):
            yield "deciding a condition", solution.replace(node.test, value)


def _calls(solution: _Solution, node: ast.Call) -> Iterator[tuple[str, str]]:
    function = solution.text(node.func)
    keywords = [
        (f"{key.arg}=" if key.arg else "**") + solution.text(key.value) for key in node.keywords
    ]
    arguments = [solution.text(argument) for argument in node.args]
    is_method = isinstance(node.func, ast.Attribute) and not (
        isinstance(root := _root(node.func), ast.Name) and root.id in MODULES
    )
    if is_method and isinstance(node.func, ast.Attribute):
        yield (
            f"dropping .{node.func.attr}()",
            solution.replace(node, solution.text(node.func.value)),
        )
    elif arguments:
        yield f"dropping {function}()", solution.replace(node, f"({arguments[0]})")
    for index, keyword in enumerate(keywords):
        rest = ", ".join([*arguments, *keywords[:index], *keywords[index + 1 :]])
        yield f"dropping {keyword.split('=')[0]}=", solution.replace(node, f"{function}({rest})")
    for index in range(len(arguments) - 1):
        swapped = arguments.copy()
        swapped[index], swapped[index + 1] = swapped[index + 1], swapped[index]
        text = f"{function}({', '.join([*swapped, *keywords])})"
        yield "exchanging two arguments", solution.replace(node, text)


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _terms(solution: _Solution, node: ast.BinOp) -> Iterator[tuple[str, str]]:
    left, right = solution.text(node.left), solution.text(node.right)
    yield "dropping a term", solution.replace(node, f"({left})")
    yield "dropping a term", solution.replace(node, f"({right})")
    if not isinstance(node.op, ast.Add):
        if isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult, ast.Pow)):
            symbol = {ast.Sub: "-", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**"}[type(node.op)]
            yield (
                "exchanging two operands",
                solution.replace(node, f"(({right}) {symbol} ({left}))"),
            )
        return
    for root, other in ((node.left, right), (node.right, left)):
        if isinstance(root, ast.Call) and solution.text(root.func).endswith("sqrt") and root.args:
            inside = f"{solution.text(root.func)}({solution.text(root.args[0])} + {other})"
            yield "moving an epsilon into the root", solution.replace(node, inside)


def _statements(solution: _Solution, node: ast.stmt) -> Iterator[tuple[str, str]]:
    dropped = isinstance(node, ast.AugAssign)
    if isinstance(node, ast.Expr):
        dropped = isinstance(node.value, ast.Call)
    if isinstance(node, ast.Assign):  # of a name to itself, changed, or of an attribute
        names = {
            n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)
        }
        used = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
        dropped = bool(names & used) or not isinstance(node.targets[0], ast.Name)
    if dropped:
        yield "dropping a statement", solution.replace(node, "pass")
    if isinstance(node, ast.FunctionDef):
        yield from _parameters(solution, node)
    if isinstance(node, ast.With) and not any(item.optional_vars for item in node.items):
        for item in node.items:
            nothing = "__import__('contextlib').nullcontext()"
            yield "leaving a context", solution.replace(item.context_expr, nothing)
    value = node.value if isinstance(node, (ast.Assign, ast.Return)) else None
    uses_torch = "torch" in solution.cell or "nn." in solution.cell
    if uses_torch and isinstance(value, (ast.Call, ast.BinOp, ast.Subscript)):
        yield "detaching", solution.replace(value, f"({solution.text(value)}).detach()")


def _parameters(solution: _Solution, node: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Uses one parameter in place of another one of the same annotation."""
    kinds = {
        argument.arg: ast.dump(argument.annotation) if argument.annotation else ""
        for argument in [*node.args.args, *node.args.kwonlyargs]
        if argument.arg != "self"
    }
    for use in ast.walk(node):
        if isinstance(use, ast.Name) and isinstance(use.ctx, ast.Load) and use.id in kinds:
            for other, kind in kinds.items():
                if other != use.id and kind == kinds[use.id]:
                    yield f"using {other} for {use.id}", solution.replace(use, other)


def _exchanges(solution: _Solution, node: ast.AST) -> Iterator[tuple[str, str]]:
    """Puts one of two names that are easily confused in place of the other."""
    both_ways = EXCHANGED + [(b, a) for a, b in EXCHANGED]
    for old, new in both_ways:
        if isinstance(node, ast.Attribute) and node.attr == old:
            yield f"{new} for {old}", solution.replace(node, f"{solution.text(node.value)}.{new}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == old:
            yield f"{new} for {old}", solution.replace(node.func, new)
        elif isinstance(node, ast.Constant) and node.value == old:
            yield f"{new} for {old}", solution.replace(node, repr(new))
