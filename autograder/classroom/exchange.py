"""nbgrader's exchange, as the configuration says: where students and teacher hand work over.

nbgrader lays it out as ROOT/COURSE_ID/{outbound,inbound,feedback}. A hand-in is the folder
inbound/STUDENT+CHAPTER+TIME+SECRET, and the feedback on it is one file for each notebook, whose
name is a hash of the secret that lies in the hand-in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nbgrader.apps.baseapp import NbGrader
from nbgrader.exchange.default import Exchange as NbgraderExchange
from nbgrader.utils import notebook_hash

from autograder.files import umask_kept

SECRET = "submission_secret.txt"


@dataclass(frozen=True)
class Exchange:
    """Where it is; nothing says that it exists."""

    root: Path
    course_id: str

    @classmethod
    def configured(cls, folder: Path) -> Exchange:
        """The exchange that nbgrader uses when it is called in this folder."""
        app = NbGrader()
        with contextlib.chdir(folder), umask_kept():
            app.initialize([])
            return cls(Path(NbgraderExchange(parent=app).root), app.coursedir.course_id)

    @property
    def course(self) -> Path:
        """Holds outbound/, inbound/ and feedback/."""
        return self.root / self.course_id

    def submissions(self, student: str) -> list[Path]:
        """What the student has handed in and is still there."""
        inbound = self.course / "inbound"
        found = sorted(inbound.iterdir()) if inbound.is_dir() else []
        return [path for path in found if path.name.rsplit("+", 3)[0] == student]

    def feedback(self, submissions: Iterable[Path], notebooks: Iterable[str]) -> list[Path]:
        """The released feedback on these hand-ins, wherever their folders lie now.

        Args:
            notebooks: names of all notebooks that there may be, such as "concepts".
        """
        secrets = {(path / SECRET).read_text() for path in submissions if (path / SECRET).is_file()}
        names = [notebook_hash(secret=s, notebook_id=n) for n in notebooks for s in secrets if s]
        files = (self.course / "feedback" / f"{name}.html" for name in names)
        return sorted({path for path in files if path.is_file()})
