"""A learner's own copies of the chapters, for `make lab`: `python -m autograder.course.work`.

What is in work/ is the learner's: copies are made where there are none, and never replaced.
work/.release/ keeps what each copy was made of, to tell when a newer release has come.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autograder.course.build import release_path, write_whole
from autograder.course.guard import work_path
from autograder.course.source import Course


def copy_releases(course: Course, log: Callable[[str], None]) -> None:
    """Copies each released chapter to work/ unless it is there; says so if it is an older one."""
    for name in course.chapters:
        release = release_path(course, course.assignment(name))
        own = work_path(course.root, release)
        began_as = own.parent.with_name(".release") / name / own.name
        here, there = own.relative_to(course.root), release.relative_to(course.root)
        text = release.read_text(encoding="utf-8")
        if not own.exists():
            write_whole(began_as, text)
            write_whole(own, text)
            log(f"{here} is yours now, a copy of {there}")
        elif not began_as.exists() or began_as.read_text(encoding="utf-8") != text:
            log(
                f"{here} stays as it is, though {there} is another version than it was made of; "
                "to start with that one, give yours another name"
            )


if __name__ == "__main__":
    copy_releases(Course.find(Path.cwd()), log=print)
