"""Keeps a history within its limits, and ends what nobody runs any more."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Final

from .._sqlite import StoreError
from ._owner import is_gone, sweep
from ._retention import REFUSALS_KEPT, Weight, age_limit, last_to_drop
from ._rows import stamp

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from .._sqlite import Database

__all__ = ["Upkeep"]

_log = logging.getLogger(__name__)

_ROW: Final = 1_000
"""Bytes that a scan takes beside its result, roughly."""
_AFTER: Final = 0.9
"""Share of the whole that is left when room had to be made."""
_EVERY: Final = 3600.0
"""Seconds between two looks at ages."""
_PAGES: Final = 2_000
"""Pages that are given back to the disk in one transaction, which copies as many into the log."""
_ROUNDS: Final = 10
"""How often room is made in a row: what a scan takes is an estimate."""


class Upkeep:
    """The limits of one history: `max_age` in seconds, `max_bytes` for the file and its log."""

    def __init__(
        self, database: Database, owners: Path, *, max_age: float, max_bytes: int, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._owners = owners
        self._max_age = max_age
        self.max_bytes = max_bytes
        self._clock = clock
        self._pruned: datetime | None = None
        self._pruning = threading.Lock()

    def set_limits(self, *, max_age: float, max_bytes: int) -> None:
        """Keep to these from now on."""
        self._max_age, self.max_bytes = max_age, max_bytes
        self._pruned = None

    def make_room(self) -> None:
        """Prune when that is due, unless another thread is at it; what goes wrong is logged: nothing is lost by it."""
        if not self._is_due() or not self._pruning.acquire(blocking=False):
            return
        try:
            self._prune()
        except StoreError as error:
            _log.warning("the history could not be pruned: %s", error)
        finally:
            self._pruning.release()

    def prune(self) -> int:
        """Let go of what is too old or too much; how many scans went."""
        with self._pruning:
            return self._prune()

    def recover(self) -> int:
        """Mark scans as interrupted whose process is no more; how many there were."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT DISTINCT owner FROM scans WHERE state = 'running'").fetchall()
        gone = [owner for (owner,) in rows if is_gone(self._owners, owner)]
        if not gone:
            return 0
        error = json.dumps({"type": "interrupted", "message": "the process that ran it ended before it did"})
        marks = ", ".join("?" * len(gone))
        with self._database.writing() as connection:
            count = connection.execute(
                f"UPDATE scans SET state = 'interrupted', owner = NULL, error = ?"  # noqa: S608
                f" WHERE state = 'running' AND owner IN ({marks})",
                (error, *gone),
            ).rowcount
            sweep(self._owners)
        return count

    def _is_due(self) -> bool:
        late = self._pruned is None or abs((self._clock() - self._pruned).total_seconds()) >= _EVERY
        return late or self._database.size() > self.max_bytes

    def _prune(self) -> int:
        self.recover()
        self._pruned = self._clock()
        with self._database.writing() as connection:
            dropped = self._drop_old(connection) + self._drop_refused(connection)
        for _ in range(_ROUNDS):
            with self._database.writing() as connection:
                gone = self._drop_for_room(connection)
            dropped += gone
            if not gone:
                break
        if dropped or self._database.size() > self.max_bytes:
            self._shrink()
        return dropped

    def _drop_old(self, connection: sqlite3.Connection) -> int:
        limit = stamp(age_limit(self._clock(), self._max_age))
        connection.execute("DELETE FROM transitions WHERE at < ?", (limit,))
        connection.execute("DELETE FROM open_ports WHERE seen < ?", (limit,))
        return connection.execute("DELETE FROM scans WHERE begun < ? AND state <> 'running'", (limit,)).rowcount

    def _drop_refused(self, connection: sqlite3.Connection) -> int:
        newest = "SELECT number FROM scans WHERE state = 'refused' ORDER BY number DESC LIMIT 1 OFFSET ?"
        return connection.execute(
            f"DELETE FROM scans WHERE state = 'refused' AND number <= ({newest})",  # noqa: S608
            (REFUSALS_KEPT,),
        ).rowcount

    def _drop_for_room(self, connection: sqlite3.Connection) -> int:
        used = _used(connection)
        if used <= self.max_bytes * _AFTER:
            return 0
        rows = connection.execute(f"SELECT number, size + {_ROW} FROM scans WHERE state <> 'running' ORDER BY number")  # noqa: S608
        last = last_to_drop((Weight(*row) for row in rows), used - int(self.max_bytes * _AFTER))
        if last is None:
            return 0
        return connection.execute("DELETE FROM scans WHERE number <= ? AND state <> 'running'", (last,)).rowcount

    def _shrink(self) -> None:
        """Give free pages back to the disk, and the log's room with them; readers may keep it for a while."""
        while self._vacuumed() and self._free():
            pass

    def _free(self) -> int:
        with self._database.reading() as connection:
            return _pragma(connection, "freelist_count")

    def _vacuumed(self) -> bool:
        """Give some pages back; whether the log could be emptied after that."""
        with self._database.writing() as connection:
            connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
        with self._database.maintaining() as connection:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def _used(connection: sqlite3.Connection) -> int:
    """Bytes that hold something, wherever they are at the moment: in the file or in the log."""
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
