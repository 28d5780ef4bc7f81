"""SQLite files shared by threads and processes: write-ahead log, one writer at a time, migrations, clear errors.

A file that was written by a newer version, belongs to another program or is damaged is refused and
left as it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

__all__ = ["Database", "Schema", "StoreError"]

_BUSY: Final = 10.0
"""Seconds to wait for another process that writes."""
_SPARE: Final = 8
"""Connections for reading that are kept open."""
_JOURNAL_LIMIT: Final = 1_000_000
"""Bytes that the write-ahead log keeps after it has been copied into the file."""


class StoreError(Exception):
    """A file cannot be used: `path`, the `reason`, and `advice`, what to do about it.

    >>> print(StoreError("/srv/history.sqlite3", "the disk is full", "free some space"))
    /srv/history.sqlite3: the disk is full; free some space
    """

    def __init__(self, path: str, reason: str, advice: str) -> None:
        self.path = path
        self.reason = reason
        self.advice = advice
        super().__init__(path, reason, advice)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; {self.advice}"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file holds, by version.

    Attributes:
        name: what the file is, for people.
        application: the number that marks such a file (`PRAGMA application_id`).
        migrations: for each version the statements that lead to it from the one before.
        error: what is raised.
    """

    name: str
    application: int
    migrations: Sequence[Sequence[str]]
    error: type[StoreError] = StoreError

    @property
    def version(self) -> int:
        """The newest version."""
        return len(self.migrations)


class Database:
    """One file under one schema, made when it is missing, readable for its owner only.

    Writing takes turns: threads by a lock, processes by SQLite's own, for which one waits ten seconds.
    What was written durably is on the disk before the block ends.

    Raises:
        StoreError: (or the schema's own) the file cannot be opened, read or written.

    >>> import tempfile
    >>> words = Schema("list of words", 1, [["CREATE TABLE words (word TEXT)"]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     database = Database(Path(folder) / "words.sqlite3", words)
    ...     with database.writing() as connection:
    ...         _ = connection.execute("INSERT INTO words VALUES ('hello')")
    ...     with database.reading() as connection:
    ...         print(connection.execute("SELECT word FROM words").fetchall())
    ...     database.close()
    [('hello',)]
    """

    def __init__(self, path: str | Path, schema: Schema) -> None:
        self.path = Path(path)
        self._schema = schema
        self._process = os.getpid()
        self._spare: list[sqlite3.Connection] = []
        self._spare_lock = threading.Lock()
        self._turn = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        with self._translated():
            self._create()
            self._writer = self._connect()
            self._prepare(self._writer)

    @contextlib.contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection that sees one state of the file during each statement."""
        with self._translated():
            connection = self._take()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._give(connection)

    @contextlib.contextmanager
    def writing(self, *, durable: bool = True) -> Generator[sqlite3.Connection]:
        """One transaction: all of the block, or nothing of it when it raises.

        Without `durable` a power failure may lose it, and nothing before it; the end of the process may not.
        """
        with self._translated(), self._turn:
            connection = self._writing_connection()
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def maintaining(self) -> Generator[sqlite3.Connection]:
        """The writing connection outside of a transaction, and waiting for nobody: for checkpoints."""
        with self._translated(), self._turn:
            connection = self._writing_connection()
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                yield connection
            finally:
                connection.execute(f"PRAGMA busy_timeout = {_BUSY * 1000:.0f}")

    def size(self) -> int:
        """Bytes on the disk: the file and its write-ahead log."""
        total = 0
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                total += Path(f"{self.path}{suffix}").stat().st_size
        return total

    def close(self) -> None:
        """Close every connection; the log is copied into the file."""
        with self._spare_lock, self._turn:
            connections = [*self._spare, *([self._writer] if self._writer else [])]
            self._spare.clear()
            self._writer = None
            if self._process != os.getpid():
                return
            for connection in connections:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def error(self, reason: str, advice: str) -> StoreError:
        """The schema's error for this file."""
        return self._schema.error(str(self.path), reason, advice)

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT}")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # One look at one state: another process may be making the same file.
        connection.execute("BEGIN")
        try:
            state = self._state(connection)
        finally:
            connection.execute("ROLLBACK")
        if state == (self._schema.application, self._schema.version):
            return
        deadline = time.monotonic() + _BUSY
        # Two processes that make the same file at once: neither waits for the other in these.
        while True:
            try:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._migrate(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _state(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Application and version of the file, after a look at whether it is one of ours that is known here."""
        application = _pragma(connection, "application_id")
        version = _pragma(connection, "user_version")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        known = self._schema
        if tables and application != known.application:
            raise self.error(f"this is another program's database and no {known.name}", "move it to another place")
        if version > known.version:
            reason = f"this {known.name} has version {version}, and {known.version} is the newest known here"
            raise self.error(reason, "upgrade tracefuse, or set TRACEFUSE_STATE_DIR to another folder")
        return application, version

    def _migrate(self, connection: sqlite3.Connection) -> None:
        _, version = self._state(connection)
        for statements in self._schema.migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {self._schema.application}")
        connection.execute(f"PRAGMA user_version = {self._schema.version}")

    def _writing_connection(self) -> sqlite3.Connection:
        self._leave_parent()
        if self._writer is None:
            raise self.error("it was closed", "open it again")
        return self._writer

    def _take(self) -> sqlite3.Connection:
        with self._spare_lock:
            self._leave_parent()
            if self._writer is None:
                raise self.error("it was closed", "open it again")
            if self._spare:
                return self._spare.pop()
        return self._connect()

    def _give(self, connection: sqlite3.Connection) -> None:
        with self._spare_lock:
            if len(self._spare) < _SPARE and self._writer is not None:
                self._spare.append(connection)
                return
        connection.close()

    def _leave_parent(self) -> None:
        """A forked child must not touch its parent's connections (sqlite.org/howtocorrupt.html, 2.6)."""
        if self._process == os.getpid():
            return
        _ABANDONED.extend([*self._spare, *([self._writer] if self._writer else [])])
        self._process, self._spare, self._writer = os.getpid(), [], self._connect()

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self.error(*_explained(error, self.path, self._schema.name)) from error
        except OSError as error:
            advice = "set TRACEFUSE_STATE_DIR to a folder that can be written to"
            raise self.error(f"it cannot be opened ({error.strerror})", advice) from error


_ABANDONED: Final[list[sqlite3.Connection]] = []
"""A parent's connections in a forked child: kept, because closing them would release the parent's locks."""


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _explained(error: sqlite3.Error, path: Path, name: str) -> tuple[str, str]:
    """What went wrong, and what to do about it."""
    code = str(getattr(error, "sqlite_errorname", ""))
    for prefix, (reason, advice) in _REASONS.items():
        if code.startswith(prefix):
            return f"{reason} ({error})", advice.format(path=path, folder=path.parent, name=name)
    return f"it cannot be used ({error})", f"look at it with: sqlite3 {path} 'PRAGMA integrity_check'"


_WRITABLE: Final = "make {folder} writable, or set TRACEFUSE_STATE_DIR to another folder"
_MEND: Final = (
    "keep it and begin anew with: mv {path} {path}.damaged; what can be read of it: sqlite3 {path}.damaged .recover"
)
_REASONS: Final = {
    "SQLITE_FULL": ("the disk is full", "free some space below {folder}, or lower TRACEFUSE_HISTORY_MAX_BYTES"),
    "SQLITE_READONLY": ("it cannot be written to", _WRITABLE),
    "SQLITE_CANTOPEN": ("it cannot be opened", _WRITABLE),
    "SQLITE_PERM": ("it cannot be opened", _WRITABLE),
    "SQLITE_IOERR": ("reading or writing failed", "look at the disk below {folder}: is it full, or failing?"),
    "SQLITE_CORRUPT": ("it is damaged", _MEND),
    "SQLITE_NOTADB": ("it is no {name}, or damaged", _MEND),
    "SQLITE_CONSTRAINT": ("this is there already", "take another id"),
    "SQLITE_BUSY": ("another process has been writing for too long", "find it with: fuser {path}"),
}
"""By the beginning of SQLite's name for the error."""
