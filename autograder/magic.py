"""`%load_ext autograder`: the commands `%check`, `%hint`, `%solution` and `%progress`.

It runs in the learner's kernel, and only connects IPython with a `Session`, which does the work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autograder.study.chapter import NotFound
from autograder.study.session import Session
from autograder.study.show import Shown, messages


def load(shell: Any) -> Session:
    """Gives an IPython shell the commands; returns what they talk to."""
    session = Session(shell.user_ns, Path.cwd())
    for _, _, source in shell.history_manager.get_range(raw=True):  # ran before this was loaded
        session.ran(source)

    def ran(result: Any) -> None:
        error = result.error_before_exec or result.error_in_exec
        said = f"{type(error).__name__}: {error}"[:200] if error else ""
        cell_id = getattr(result.info, "cell_id", None) or ""
        session.ran(result.info.raw_cell or "", cell_id, said)

    for earlier in getattr(shell, "autograder_callbacks", ()):  # loaded twice: not heard twice
        shell.events.unregister("post_run_cell", earlier)
    shell.autograder_callbacks = (ran,)
    shell.events.register("post_run_cell", ran)

    def command(name: str, action: Any, text: str) -> None:
        def run(line: str) -> None:
            try:
                shown = action(line)
            except NotFound as missing:
                shown = messages([str(missing)])
            _display(shown)

        run.__doc__ = text
        shell.register_magic_function(run, "line", name)

    command("check", session.check, "%check [EXERCISE]: all checks of an exercise, now.")
    command("hint", session.hint, "%hint [EXERCISE]: one hint more.")
    command("solution", session.solution, "%solution [EXERCISE]: two right answers; asks first.")
    command("progress", lambda _: session.progress_table(), "%progress: where you stand.")
    return session


def _display(shown: Shown) -> None:
    from IPython.display import display

    display(shown.bundle, raw=True)
