"""Runs `autograder`, and writes down what each submission that it grades has cost.

python tests/attacks/costs.py FILE grade CHAPTER ...
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autograder.cli import app
from autograder.engine.grade import Engine
from autograder.engine.options import Graded
from autograder.engine.submission import Submission


def main() -> None:
    """The file gets an object: what was counted, by student."""
    file, *arguments = sys.argv[1:]
    costs: dict[str, dict[str, int]] = {}
    grade = Engine.grade

    def counted(engine: Engine, assignment: Any, submission: Submission, limits: Any) -> Graded:
        graded = grade(engine, assignment, submission, limits)
        costs[submission.student] = asdict(graded.cost)
        return graded

    Engine.grade = counted  # type: ignore[method-assign, assignment]
    try:
        app(arguments)
    finally:
        Path(file).write_text(json.dumps(costs, indent=1))


if __name__ == "__main__":
    main()
