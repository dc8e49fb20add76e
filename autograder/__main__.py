"""The command `autograder`, also as `python -m autograder`.

Grading needs Linux; elsewhere there are the commands of somebody who studies alone.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line."""
    # jsonschema checks addresses in Unicode with this, if it can import it, which takes longer than
    # all else. Notebooks have none that are checked.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    if sys.platform == "linux":
        from autograder.cli import app
    else:
        from autograder.study.commands import app
    app()


if __name__ == "__main__":
    main()
