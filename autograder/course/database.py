"""Where a class's gradebook is, and how it is reached: a file of SQLite's, or a PostgreSQL server.

nbgrader keeps students, assignments and marks in one database, its gradebook. `c.CourseDirectory.
db_url` in its configuration says which; without it, that is gradebook.db in the class's folder.
What SQLite and PostgreSQL differ in is said here and nowhere else: how a gradebook is made, read,
copied and locked, and what is said where it cannot be used. All else is left to nbgrader.

nbgrader takes seconds to import, and SQLAlchemy takes long, too: only what needs them does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from jupyter_core.paths import jupyter_config_path
from traitlets.config import Application

from autograder.course.source import CourseError
from autograder.files import umask_kept

if TYPE_CHECKING:
    from nbgrader.api import Gradebook
    from sqlalchemy import Connection, Engine

Execute = Callable[[str, dict[str, Any]], Iterable[Sequence[Any]]]

FILE = "gradebook.db"
EXAMPLE = "postgresql://user@host/database"
A_TABLE = "submitted_assignment"  # where it is, there is a gradebook
OF_STUDENTS = {"student", A_TABLE, "submitted_notebook", "grade", "comment"}
PROBE_SECONDS = 0.1
READ_SECONDS = 1
CONNECT_SECONDS = 10  # else a host that does not answer is waited for for minutes
LOCK_SECONDS = 10  # for who is writing the same marks, or the same file
MAKING = 0x6762  # "gb": who makes the tables holds this lock of the database's
# PostgreSQL's codes for what goes away by itself: lock_not_available, deadlock, serialization.
WAITED_FOR = {"55P03", "40P01", "40001"}


class Unavailable(OSError):
    """The gradebook cannot be read or written now.

    Attributes:
        locked: whether another program holds it, so that it is worth while to wait.
        lost: whether the server cannot be reached, so that nobody's marks can be entered.
    """

    def __init__(self, problem: str, locked: bool = False, lost: bool = False):
        super().__init__(problem)
        self.locked = locked
        self.lost = lost


@dataclass(frozen=True)
class Database:
    """The gradebook of one class; nothing says that it exists.

    Its text is for people and has no password.

    Attributes:
        path: SQLite's file; None if a server has the gradebook.
    """

    path: Path | None
    _server: str = field(default="", repr=False)

    @classmethod
    def of(cls, folder: Path) -> Database:
        """The gradebook that nbgrader uses when it is called in this folder, a class's.

        Raises:
            CourseError: if the configuration cannot be read, or names another sort of database.
        """
        folder = folder.resolve()
        url = _configured(folder)
        return cls.at(url, folder) if url else cls.within(folder)

    @classmethod
    def within(cls, folder: Path) -> Database:
        """The file that nbgrader uses without a configuration."""
        return cls(folder.resolve() / FILE)

    @classmethod
    def at(cls, url: str, folder: Path = Path()) -> Database:
        """What a `db_url` means.

        Args:
            folder: where the path of a file begins that has no root.

        Raises:
            CourseError: if it is no URL, or of another sort of database.
        """
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        refused = f"c.CourseDirectory.db_url is to be sqlite:///PATH or like {EXAMPLE}"
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):  # either may quote it, with the password
            raise CourseError(refused) from None
        sort = parsed.get_backend_name()
        if sort == "sqlite" and parsed.database not in {None, "", ":memory:"}:
            return cls(folder / str(parsed.database))
        if sort != "postgresql":
            shown = parsed.set(query={}).render_as_string(hide_password=True)
            raise CourseError(f"{refused}, not {shown}")
        if "connect_timeout" not in parsed.query:
            parsed = parsed.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
        return cls(None, parsed.render_as_string(hide_password=False))

    @property
    def url(self) -> str:
        """For nbgrader, with the password if there is one."""
        from sqlalchemy import URL

        if self.path is None:
            return self._server
        return URL.create("sqlite", database=str(self.path)).render_as_string()

    @property
    def has_password(self) -> bool:
        """Whether the configuration holds one."""
        return bool(self._passwords())

    @property
    def has_socket(self) -> bool:
        """Whether it is a server's that is reached by a socket in a folder of this machine."""
        if self.path is not None:
            return False
        from sqlalchemy.engine import make_url

        url = make_url(self._server)
        hosts = [url.host or "", *",".join(url.normalized_query.get("host", ())).split(",")]
        return any(host.startswith("/") for host in hosts) or not any(hosts)

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        from sqlalchemy.engine import make_url

        url = make_url(self._server)
        hidden = url.set(query={}).render_as_string(hide_password=True)
        hosts = url.query.get("host")
        return hidden if not hosts else f"{hidden} at {hosts}"

    def masked(self, text: str) -> str:
        """The text without the password, which an error may quote."""
        for password in self._passwords():
            for written in {password, quote(password, safe=""), quote_plus(password)}:
                text = text.replace(written, "***")
        return text

    def _passwords(self) -> list[str]:
        if self.path is not None:
            return []
        from sqlalchemy.engine import make_url

        url = make_url(self._server)
        given = [url.password, url.query.get("password"), url.query.get("sslpassword")]
        return [str(password) for password in given if password]

    # ------------------------------------------------------------ reading

    @contextmanager
    def reading(self) -> Iterator[Execute | None]:
        """Asks the gradebook, as it is at one moment; None if there is none.

        Raises:
            Unavailable: if it cannot be read now, inside, too.
        """
        if self.path is not None and not self.path.exists():
            yield None
            return
        with self.explained():
            if self.path is not None:
                address = f"{self.path.as_uri()}?mode=rw"
                with closing(sqlite3.connect(address, uri=True, timeout=READ_SECONDS)) as file:
                    there = "SELECT 1 FROM sqlite_master WHERE name = :name"
                    found = file.execute(there, {"name": A_TABLE}).fetchone()
                    file.execute("BEGIN")
                    yield file.execute if found else None
                return
            from sqlalchemy import inspect, text

            with self._snapshots().connect() as connection:
                found = inspect(connection).has_table(A_TABLE)
                yield (lambda sql, values: connection.execute(text(sql), values)) if found else None

    def exists(self) -> bool:
        """Whether there is a gradebook.

        Raises:
            Unavailable: if that cannot be said now.
        """
        with self.reading() as execute:
            return execute is not None

    def copy_assignments(self, target: Database) -> None:
        """Copies what the gradebook knows of assignments, and nothing of students.

        Args:
            target: a file that is not there yet.

        Raises:
            Unavailable: if it cannot be read now.
        """
        if not self.exists():
            return
        from nbgrader.api import Base
        from sqlalchemy import insert, select

        tables = [table for table in Base.metadata.sorted_tables if table.name not in OF_STUDENTS]
        with (
            self.explained(),
            self._snapshots().connect() as source,
            target._engine().begin() as copy,
        ):
            Base.metadata.create_all(copy)
            if self.path is not None:
                source.exec_driver_sql("BEGIN")
            for table in tables:
                rows = [row._asdict() for row in source.execute(select(table))]
                if rows:
                    copy.execute(insert(table), rows)

    # ------------------------------------------------------------ writing

    def probe(self) -> None:
        """Sees at once that another program holds the file; nbgrader would wait, and not say why.

        Raises:
            Unavailable: if it does, or if the file is no database.
        """
        if self.path is not None and self.path.exists():
            with (
                self.explained(),
                closing(sqlite3.connect(self.path, timeout=PROBE_SECONDS)) as database,
            ):
                database.execute("BEGIN IMMEDIATE")
                database.rollback()

    def make(self) -> None:
        """Makes an empty gradebook where there is none.

        nbgrader does it when it opens one, in several steps: two programs at once fail, and one
        that is killed leaves a half. Here, it is one transaction, and others wait for its end.

        Raises:
            Unavailable: if that is not possible now.
        """
        if self.exists():
            return
        from nbgrader.api import Base, Course, get_alembic_version
        from sqlalchemy import insert, inspect, text

        version = get_alembic_version()
        with self.explained(), self._engine().begin() as connection:
            _lock(connection)
            if self.path is None:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MAKING})"))
            if inspect(connection).has_table(A_TABLE):
                return
            Base.metadata.create_all(connection)
            versions = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"
            connection.execute(text(versions))
            connection.execute(text("INSERT INTO alembic_version VALUES (:v)"), {"v": version})
            connection.execute(insert(Course.__table__).values(id="default_course"))

    def forget_what_was_deleted(self) -> None:
        """SQLite keeps what it has deleted in its file, else; a server's autovacuum sees to it."""
        if self.path is not None:
            with self.explained(), closing(sqlite3.connect(self.path)) as database:
                database.execute("VACUUM")

    # ------------------------------------------------------------ what goes wrong

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Says what is the matter with the gradebook, whoever met it: driver, SQLAlchemy, nbgrader.

        Raises:
            Unavailable: in the place of their errors.
        """
        try:
            yield
        except Unavailable:
            raise
        except Exception as error:
            if (problem := self._problem(error)) is None:
                raise
            raise problem from error

    def _problem(self, error: Exception) -> Unavailable | None:
        from sqlalchemy.exc import (
            DBAPIError,
            InterfaceError,
            OperationalError,
            SQLAlchemyError,
        )

        if isinstance(error, CourseError):  # nbgrader's log is all that is left of it
            said = self.masked(str(error))
            of_a_driver = "sqlite3." in said or "psycopg" in said
            return Unavailable(said, "database is locked" in said) if of_a_driver else None
        if isinstance(error, ModuleNotFoundError) and self.path is None:
            package = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}
            return Unavailable(
                f"{self}: the package {error.name} is missing, which talks to PostgreSQL; "
                f"pip install '{package.get(str(error.name), error.name)}'",
                lost=True,
            )
        if not isinstance(error, sqlite3.Error | SQLAlchemyError):
            return None
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = self.masked(" ".join(str(cause).split()))
        if self.path is not None:
            return Unavailable(said, "database is locked" in said)
        code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        locked = code in WAITED_FOR
        lost = isinstance(error, OperationalError | InterfaceError) and not locked
        return Unavailable(f"{self}: {said}", locked, lost)

    def _engine(self) -> Engine:
        """One without connections that stay open."""
        from sqlalchemy import NullPool, create_engine

        wait = {} if self.path is None else {"timeout": LOCK_SECONDS}
        return create_engine(self.url, poolclass=NullPool, connect_args=wait)

    def _snapshots(self) -> Engine:
        """One whose transactions see the gradebook as it was when they began, as SQLite's do."""
        engine = self._engine()
        if self.path is None:
            return engine.execution_options(isolation_level="REPEATABLE READ")
        return engine


@contextmanager
def transaction(book: Gradebook) -> Iterator[None]:
    """All that nbgrader does with its gradebook inside is done, or nothing of it.

    nbgrader commits after each of its steps. Here, its session is a guest in a transaction, which
    its commits do not end; an error does.
    """
    book.db.remove()
    with book.engine.begin() as connection:
        _lock(connection)
        book.db.configure(bind=connection, join_transaction_mode="rollback_only")
        try:
            yield
            book.db.flush()
        finally:
            book.db.remove()
            book.db.configure(bind=book.engine, join_transaction_mode="conditional_savepoint")


def _lock(connection: Connection) -> None:
    """Begins the transaction: as SQLite's only writer, or with an end to waiting for others."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")


def _configured(folder: Path) -> str:
    """nbgrader's db_url in this folder; empty if nothing sets one."""
    app = Application()
    app.raise_config_file_errors = True
    try:
        with umask_kept():
            for name in ("jupyter_config", "nbgrader_config"):
                app.load_config_file(name, path=[str(folder), *jupyter_config_path()])
    except Exception as error:
        raise CourseError(
            f"nbgrader's configuration for {folder} cannot be read: {type(error).__name__}: {error}"
        ) from None
    return str(app.config.get("CourseDirectory", {}).get("db_url", ""))
