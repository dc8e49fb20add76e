"""A PostgreSQL server of the tests' own: Debian's programs, a socket in a folder in /tmp, no port.

PostgreSQL refuses to be run by root; then the user `postgres` runs it, or `nobody`.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
}
# The role "guarded" has to give a password, the others do not.
ACCESS = "local all guarded scram-sha-256\nlocal all all trust\n"


class Server:
    """A running server.

    Attributes:
        folder: holds its socket.
        programs: psql, pg_dump and the like lie there.
    """

    def __init__(self, folder: Path, programs: Path):
        self.folder = folder
        self.programs = programs
        self._numbers = count(1)

    def run(self, program: str, *arguments: str) -> str:
        """One of its programs, called by the superuser; returns what it prints."""
        done = subprocess.run(
            [self.programs / program, "--host", self.folder, "--username=postgres", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What a statement gives, a line a row."""
        return self.run("psql", "-d", database, "-qAtc", statement)

    def database(self, template: str = "template0") -> str:
        """The name of a new database, empty or a copy."""
        name = f"class{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def url(self, database: str, user: str = "postgres", password: str = "") -> str:
        """For nbgrader."""
        who = f"{user}:{password}" if password else user
        return f"postgresql://{who}@/{database}?host={self.folder}"


def programs() -> Path | None:
    """Where Debian's newest PostgreSQL has initdb and postgres; None without one."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    return max(map(Path, found), key=lambda path: float(path.parts[-3])).parent if found else None


def _owner() -> pwd.struct_passwd:
    """Who runs it."""
    if os.getuid():
        return pwd.getpwuid(os.getuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    """Starts a server, and stops it."""
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir="/tmp"))  # a socket's path is short
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    # It ends with the tests, whatever ends them, SIGKILL included.
    as_owner: list[str | Path] = ["setpriv", "--pdeathsig=QUIT"]
    if not os.getuid():
        as_owner += [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    try:
        initdb = [
            *as_owner,
            programs / "initdb",
            "--no-sync",
            "--username=postgres",
            "--encoding=UTF8",
        ]
        initdb += ["--locale=C.UTF-8", "--auth=trust", "--pgdata", data]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, env=environment)
        (data / "pg_hba.conf").write_text(ACCESS)
        options = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [*as_owner, programs / "postgres", "-D", data, "-k", folder, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env=environment,
            )
        try:
            while subprocess.run(
                [programs / "pg_isready", "--quiet", "--host", folder], check=False
            ).returncode:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield Server(folder, programs)
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown, in PostgreSQL's words
            try:
                server.wait(60)
            finally:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
