"""Code read by names: in several threads at once, as batches and audits read it."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor

from sample_class import CHAPTER

from autograder.course.names import Code, definitions
from autograder.course.source import Course


def test_threads_that_read_code_at_once_do_not_disturb_each_other(course: Course) -> None:
    """Python 3.11 counts the depth of the trees that it makes for all threads together."""
    cells = course.assignment(CHAPTER).source.cells
    code = [cell.source for cell in cells if cell.cell_type == "code"][:40]
    alone = [definitions(source) for source in code]

    def from_deeper(depth: int, source: str) -> dict[str, Code]:
        return from_deeper(depth - 1, source) if depth else definitions(source)

    # Threads take turns where a collection of garbage runs Python code, as finalisers are.
    threshold = gc.get_threshold()
    gc.callbacks.append(lambda *_: time.sleep(0))
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(from_deeper, (n % 7 for n in range(len(code))), code))
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.pop()
    assert found == alone
