"""A machine on which students have accounts of their own, with a JupyterHub or without.

Nothing of a sandbox is around their notebooks, so what keeps solutions, marks and other people's
work from them is the modes of files and folders, and which environment their Jupyter runs in.
`tools/setup --class` makes that environment and runs this module in it, as

    python -m autograder.classroom.machine COURSE

which calls `open_to_students`. `autograder doctor --class` calls `examine`: it looks and changes
nothing.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from jupyter_core.paths import ENV_CONFIG_PATH, SYSTEM_CONFIG_PATH
from jupyter_server.extension.serverextension import toggle_server_extension_python

from autograder.classroom.exchange import Exchange
from autograder.course.database import FILE, Database
from autograder.files import write_whole
from autograder.sandbox.confine import PACKAGE
from autograder.sandbox.doctor import Finding

# By part, what lies in the course's folder that is not for students.
SECRETS = {
    "solutions and hidden tests": ("source", "notebooks", "tests/answers", ".git"),
    "marks": (FILE, "reports", "grades.csv"),
    "the work of other students": ("submitted", "autograded", "feedback"),
}
# Where a gradebook on a server has its password.
SETTINGS = ("nbgrader_config.py", "class_config.py")
TEACHERS_BUTTONS = tuple(
    f"@jupyter/nbgrader:{name}" for name in ("formgrader", "create-assignment", "course-list")
)
NEWS = "@jupyterlab/apputils-extension:announcements"  # asks each student, in front of their work
TEACHERS_SERVER_PARTS = tuple(
    f"nbgrader.server_extensions.{name}" for name in ("formgrader", "course_list")
)
CONFIGURATION = """\
# For students, in whatever folder they work. The course's own nbgrader_config.py has the rest.
from autograder.classroom import validate

# Else Validate prints the tests of what fails, and promises all points where nothing does.
validate.install()
c = get_config()
c.CourseDirectory.course_id = {course_id!r}
c.Exchange.root = {root!r}
"""
EVERYBODY = "everybody"


def open_to_students(course: Path) -> None:
    """Sets up this environment for students, opens the exchange and closes the course's folder.

    Args:
        course: the course's folder; its nbgrader configuration says which exchange.
    """
    exchange = Exchange.configured(course)
    (settings,) = map(Path, ENV_CONFIG_PATH)
    configuration = CONFIGURATION.format(course_id=exchange.course_id, root=str(exchange.root))
    write_whole(settings / "nbgrader_config.py", configuration)
    page = settings / "labconfig" / "page_config.json"
    shown = json.loads(page.read_bytes()) if page.exists() else {}
    off = dict.fromkeys((*TEACHERS_BUTTONS, NEWS), True)
    shown.setdefault("disabledExtensions", {}).update(off)
    write_whole(page, json.dumps(shown, indent=2) + "\n")
    for part in TEACHERS_SERVER_PARTS:
        toggle_server_extension_python(part, enabled=False)
    exchange.root.mkdir(parents=True, exist_ok=True)
    exchange.root.chmod(0o777)  # as nbgrader wants it
    course.chmod(0o700)
    print(f"Students run Jupyter by {Path(sys.prefix, 'bin', 'jupyter')} and hand in at")
    print(f"{exchange.root}, as course {exchange.course_id}. {course} is closed to them.")


def examine(course: Path, exchange: Exchange) -> list[Finding]:
    """Looks at everything that grading a class leaves or needs on a shared machine.

    Args:
        course: the course's folder, with the class in it.
        exchange: that nbgrader uses in the course's folder.

    Raises:
        CourseError: if the configuration names no gradebook that can be used.
    """
    found, gradebook = [], Database.of(course)
    secrets: dict[str, tuple[str, ...]] = dict(SECRETS)
    if gradebook.path not in (None, course.resolve() / FILE):
        secrets["marks"] += (str(gradebook.path),)
    if gradebook.has_password:
        secrets["the password of the gradebook"] = SETTINGS
    for what, names in secrets.items():
        seen = "; ".join(filter(None, (_opened(course / name) for name in names)))
        found.append(Finding(f"{what}: out of reach", not seen, seen or "nothing can be read"))
    return [*found, *_environment(course), *_exchange(exchange), *_buttons()]


# ---------------------------------------------------------------- who may read a file


def _opened(path: Path) -> str:
    """The first file at or below `path` that outsiders can read, and who; "" if there is none."""
    path = path.resolve()
    if not path.exists():
        return ""
    for file, who in _readable(path, _passing(path.parent)):
        return f"{' and '.join(sorted(who))} can read {file}"
    return ""


def _passing(folder: Path) -> set[str]:
    """Who, besides the owner, can get into a folder, through all folders above it."""
    who = {EVERYBODY}
    for above in (*reversed(folder.parents), folder):
        who = _among(who, _allowed(above, stat.S_IXOTH, stat.S_IXGRP))
    return who


def _readable(path: Path, outsiders: set[str]) -> Iterator[tuple[Path, set[str]]]:
    """Files at or below `path` that some of these can read, if they can get to it."""
    if not outsiders or path.is_symlink():
        return
    if not path.is_dir():
        if who := _among(outsiders, _allowed(path, stat.S_IROTH, stat.S_IRGRP)):
            yield path, who
        return
    # Whoever may enter a folder can open what is in it by its name, listed or not.
    inside = _among(outsiders, _allowed(path, stat.S_IXOTH, stat.S_IXGRP))
    with contextlib.suppress(PermissionError):  # somebody else's folder, which we cannot look into
        for entry in sorted(path.iterdir()) if inside else ():
            yield from _readable(entry, inside)


def _among(who: set[str], allowed: set[str]) -> set[str]:
    """Those of `who` that are allowed; a group is a part of everybody."""
    if EVERYBODY in allowed:
        return who
    return allowed if EVERYBODY in who else who & allowed


def _allowed(path: Path, others: int, group: int) -> set[str]:
    """Who has this right besides the owner."""
    status = path.stat()
    if status.st_mode & others:
        return {EVERYBODY}
    if not status.st_mode & group:
        return set()
    # With an access list, these bits are the most that it gives to anybody (acl(5)).
    listed = "system.posix_acl_access" in os.listxattr(path)
    return {_group(status), *(["somebody on an access list"] if listed else [])} - {""}


def _group(status: os.stat_result) -> str:
    """The file's group in words; "" if nobody but the owner is in it."""
    try:
        group = grp.getgrgid(status.st_gid)
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return f"group {status.st_gid}"
    members = {*group.gr_mem, *(u.pw_name for u in pwd.getpwall() if u.pw_gid == group.gr_gid)}
    return f"group {group.gr_name}" if members - {owner, "root"} else ""


# ---------------------------------------------------------------- what students need


def _environment(course: Path) -> Iterator[Finding]:
    """Students' notebooks import `autograder` from this environment, and find no course there."""
    needed = (Path(sys.executable), PACKAGE / "checks.py")
    closed = [str(path) for path in needed if not _opened(path).startswith(EVERYBODY)]
    seen = f"closed to others: {', '.join(closed)}" if closed else sys.prefix
    yield Finding("this environment: students can use it", not closed, seen)
    apart = course not in PACKAGE.parents
    seen = str(PACKAGE) if apart else f"{PACKAGE} lies in the course's folder"
    yield Finding("this environment: apart from the course", apart, seen)


def _exchange(here: Exchange) -> Iterator[Finding]:
    """What nbgrader in a student's own folder uses, and what they can see of each other there."""
    elsewhere = Exchange.configured(Path("/"))
    same = elsewhere == here and bool(here.course_id)
    seen = f"course {elsewhere.course_id!r} in {elsewhere.root}"
    if not same:
        seen += f", but here course {here.course_id!r} in {here.root}"
    yield Finding("nbgrader in students' folders: finds the course", same, seen)
    inbound = here.course / "inbound"
    if not here.root.is_dir():
        yield Finding("exchange: there", False, f"there is no folder {here.root}")
        return
    mode = stat.S_IMODE(here.root.stat().st_mode)
    reached = EVERYBODY in _passing(here.root.resolve())
    seen = f"{here.root} has mode {mode:o}" + ("" if reached else "; a folder above it is closed")
    yield Finding("exchange: students can use it", mode & 0o007 == 0o007 and reached, seen)
    if inbound.is_dir():
        closed = not inbound.stat().st_mode & stat.S_IROTH
        seen = f"{inbound} " + ("cannot be listed" if closed else "can be listed: chmod o-r")
        yield Finding("exchange: hand-ins of others are out of reach", closed, seen)


def _buttons() -> Iterator[Finding]:
    """Formgrader and Create Assignment are for the teacher."""
    shown = [name for name in TEACHERS_BUTTONS if name not in _switched_off()]
    seen = f"on: {', '.join(shown)}" if shown else "off"
    yield Finding("Formgrader and Create Assignment: off in JupyterLab", not shown, seen)


def _switched_off() -> set[str]:
    """JupyterLab's extensions that are off for whoever uses this environment."""
    off: set[str] = set()
    for folder in (*SYSTEM_CONFIG_PATH, *ENV_CONFIG_PATH):  # the latter has the last word
        path = Path(folder, "labconfig", "page_config.json")
        with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):
            for name, is_off in json.loads(path.read_bytes())["disabledExtensions"].items():
                (off.add if is_off else off.discard)(name)
    return off


if __name__ == "__main__":
    open_to_students(Path(sys.argv[1]))
