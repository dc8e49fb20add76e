"""docs/architecture.md speaks of the files that there are; what notebooks import stays light."""

from __future__ import annotations

import re
import subprocess
import sys

from sample_class import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_file_of_the_package_has_its_line_and_no_other_has() -> None:
    listed = re.findall(r"^\| `([\w/]+\.py)` \|", PAGE, re.MULTILINE)
    package = ROOT / "autograder"
    files = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    assert len(listed) == len(set(listed))
    assert set(listed) == {name for name in files if not name.endswith("__init__.py")}


def test_functions_that_the_page_names_are_where_it_says() -> None:
    for name, file in re.findall(r"`(\w+)` (?:in|of) `([\w/]+\.py)`", PAGE):
        text = (ROOT / "autograder" / file).read_text()
        assert re.search(rf"^ *(def|class) {name}\b|^{name} = ", text, re.MULTILINE), (name, file)


def test_what_a_notebook_imports_needs_the_standard_library_only() -> None:
    code = (
        "import sys; before = {*sys.modules}\n"
        "import autograder.checks, autograder.files, autograder.lesson, autograder.words\n"
        "import autograder.ranks, autograder.traffic\n"
        "tops = {name.partition('.')[0] for name in {*sys.modules} - before}\n"
        "print(sorted(tops - sys.stdlib_module_names - {'autograder'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
