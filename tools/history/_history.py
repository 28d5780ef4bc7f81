"""The history: every scan that was asked for, its result, and what changed, in one SQLite file."""

from __future__ import annotations

import json
import threading
import zlib
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .._sqlite import Database
from ._owner import Owner
from ._ports import OpenPort, note_open_ports, open_ports
from ._records import (
    HistoryError,
    Page,
    Query,
    ScanEnd,
    ScanStart,
    ScanState,
    StoredScan,
    StoredTransition,
    UnknownScanError,
    request_from_dict,
    request_to_dict,
)
from ._rows import (
    COLUMNS,
    conditions,
    end_row,
    moment,
    overlap,
    pack,
    pack_changes,
    stamp,
    start_row,
    stored,
    target_rows,
    text,
    unpack_changes,
)
from ._schema import HISTORY_SCHEMA
from ._upkeep import Upkeep

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterable, Mapping
    from typing import Self

    from ..nmap import Change

__all__ = [
    "History",
    "HistoryError",
    "OpenPort",
    "Page",
    "Query",
    "ScanEnd",
    "ScanStart",
    "ScanState",
    "StoredScan",
    "StoredTransition",
    "UnknownScanError",
    "request_from_dict",
    "request_to_dict",
]

_LARGEST: Final = 0.5
"""Share of the whole that one result may take."""


def _now() -> datetime:
    return datetime.now(UTC)


class History:
    """Scans and their results. Safe to use from several threads and several processes at once.

    Methods block for as long as the disk takes; an event loop calls them through `asyncio.to_thread`.
    What `begin` and `finish` wrote is on the disk when they return.

    Raises:
        HistoryError: (any method) the file cannot be opened, read or written.

    >>> import tempfile
    >>> from tracefuse.tools import Caller
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     history = History.open(Path(folder) / "history.sqlite3", max_age=86_400.0, max_bytes=10_000_000)
    ...     history.begin(ScanStart(scan_id="a1", request={}, caller=Caller(), begun=datetime.now(UTC)))
    ...     history.finish("a1", ScanEnd(state=ScanState.COMPLETED, document={"report": {}}))
    ...     print(history.get("a1").state, history.document("a1"))
    ...     history.close()
    completed {'report': {}}
    """

    def __init__(self, database: Database, *, max_age: float, max_bytes: int, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._owners = Path(f"{database.path}-owners")
        self._upkeep = Upkeep(database, self._owners, max_age=max_age, max_bytes=max_bytes, clock=clock)
        self._owner: Owner | None = None
        self._owner_lock = threading.Lock()

    @classmethod
    def open(cls, path: str | Path, *, max_age: float, max_bytes: int, clock: Callable[[], datetime] = _now) -> Self:
        """Open the file at `path`, and make it when it is missing.

        Scans that a process left running which is no more become `interrupted`.

        Args:
            path: the file.
            max_age: seconds after which a scan is let go of.
            max_bytes: how large the file may become; the oldest scans make room.
            clock: the time, with a zone.
        """
        history = cls(Database(path, HISTORY_SCHEMA), max_age=max_age, max_bytes=max_bytes, clock=clock)
        history.recover()
        return history

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def size(self) -> int:
        """Bytes on the disk, the write-ahead log included."""
        return self._database.size()

    def begin(self, start: ScanStart) -> None:
        """Keep that a scan begins; it belongs to this process until it is finished."""
        with self._database.writing() as connection:
            self._insert(connection, start_row(start, ScanState.RUNNING, self._token()), start.targets)

    def finish(self, scan_id: str, end: ScanEnd) -> None:
        """Keep how the scan `scan_id` ended. One that has ended already stays as it is.

        One that only counted as interrupted, because its owner seemed to be gone, has its true end then.

        Raises:
            HistoryError: also when the result is larger than half of what the whole may take; all but the
                result is kept then.
        """
        body = None if end.document is None else pack(end.document)
        too_large = body is not None and len(body) > self._upkeep.max_bytes * _LARGEST
        kept = None if too_large else body
        changes = pack_changes(end.changes or ())
        ended = end.ended or self._clock()
        row = end_row(end, ended, size=len(kept or b""))
        sql = (
            f"UPDATE scans SET {', '.join(f'{column} = ?' for column in row)}, owner = NULL WHERE scan_id = ?"  # noqa: S608
            " AND (state = 'running' OR state = 'interrupted' AND ended IS NULL) RETURNING number"
        )
        with self._database.writing() as connection:
            updated = connection.execute(sql, (*row.values(), text(scan_id))).fetchone()
            if updated is not None and (kept or changes):
                connection.execute("INSERT INTO documents VALUES (?, ?, ?)", (updated[0], kept, changes))
            if updated is not None and end.report is not None:
                note_open_ports(connection, updated[0], scan_id, stamp(ended), end.report)
        self._upkeep.make_room()
        if too_large:
            reason = f"the result of scan {scan_id} takes {len(body or b''):,} bytes and was left out"
            raise self._database.error(reason, "raise TRACEFUSE_HISTORY_MAX_BYTES")

    def refuse(self, start: ScanStart, end: ScanEnd) -> None:
        """Keep that a scan was refused. It waits for no disk: a power failure may lose it."""
        with self._database.writing(durable=False) as connection:
            row = start_row(start, end.state, None) | end_row(end, end.ended or self._clock(), size=0)
            self._insert(connection, row, start.targets)
        self._upkeep.make_room()

    def get(self, scan_id: str) -> StoredScan | None:
        """The scan `scan_id` without its result; None for one that is not here."""
        with self._database.reading() as connection:
            sql = f"SELECT {COLUMNS} FROM scans WHERE scan_id = ?"  # noqa: S608
            row = connection.execute(sql, (text(scan_id),)).fetchone()
        return None if row is None else stored(row)

    def document(self, scan_id: str) -> dict[str, Any] | None:
        """The result of the scan `scan_id`, partial ones included; None when there is none."""
        written = self.document_json(scan_id)
        if written is None:
            return None
        document: dict[str, Any] = json.loads(written)
        return document

    def document_json(self, scan_id: str) -> bytes | None:
        """The result as the bytes of its JSON: for who passes it on and need not read it."""
        body = self._packed(scan_id, "body")
        if body is None:
            return None
        try:
            return zlib.decompress(body)
        except zlib.error as error:
            reason = f"the result of scan {scan_id} is damaged ({error})"
            raise self._database.error(
                reason, "look at the disk, and at the file with: tracefuse history path"
            ) from error

    def resolve(self, prefix: str) -> str:
        """The id that begins with `prefix`.

        Raises:
            UnknownScanError: no id does, or several do.
        """
        sql = "SELECT scan_id FROM scans WHERE scan_id >= ?1 AND scan_id < ?1 || '~' ORDER BY scan_id LIMIT 2"
        with self._database.reading() as connection:
            rows = connection.execute(sql, (text(prefix),)).fetchall()
        if not prefix or not rows or (len(rows) > 1 and rows[0][0] != prefix):
            raise UnknownScanError(prefix)
        return str(rows[0][0])

    def count(self, query: Query | None = None) -> int:
        """How many scans `query` asks for on all its pages; see `find`."""
        where, values = conditions(query or Query())
        with self._asking(query) as connection:
            (count,) = connection.execute(f"SELECT count(*) FROM scans {where}", values).fetchone()  # noqa: S608
        return int(count)

    def changes(self, scan_id: str) -> tuple[Change, ...]:
        """What differed from the scan that `scan_id` was compared with."""
        return unpack_changes(self._packed(scan_id, "changes"))

    def find(self, query: Query | None = None) -> Page:
        """The scans that `query` asks for, by default the last ones; the newest first.

        Raises:
            ValueError: a limit out of range, or a time without a zone.
        """
        query = query or Query()
        where, values = conditions(query)
        sql = f"SELECT {COLUMNS} FROM scans {where} ORDER BY number DESC LIMIT ?"  # noqa: S608
        with self._asking(query) as connection:
            rows = connection.execute(sql, (*values, query.limit + 1)).fetchall()
        scans = tuple(map(stored, rows[: query.limit]))
        return Page(scans, scans[-1].number if len(rows) > query.limit else None)

    def last_comparable(self, scan_id: str) -> StoredScan | None:
        """The last scan before `scan_id` that asked the same and was completed; None without one."""
        sql = (
            f"SELECT {COLUMNS} FROM scans WHERE state = 'completed' AND signature <> ''"  # noqa: S608
            " AND signature = (SELECT signature FROM scans WHERE scan_id = :id)"
            " AND number < (SELECT number FROM scans WHERE scan_id = :id) AND size > 0 ORDER BY number DESC LIMIT 1"
        )
        with self._database.reading() as connection:
            row = connection.execute(sql, {"id": text(scan_id)}).fetchone()
        return None if row is None else stored(row)

    def last_open_ports(self, port: int, since: datetime, *, protocol: str = "tcp") -> tuple[OpenPort, ...]:
        """Where `port` was open when a completed scan looked last, if that was `since` then; one for each address."""
        with self._database.reading() as connection:
            return open_ports(connection, protocol, port, stamp(since))

    def add_transition(self, transition: StoredTransition) -> None:
        """Keep a change of a breaker's state."""
        values = (stamp(transition.at), transition.breaker, transition.from_state, transition.to_state)
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO transitions (at, breaker, from_state, to_state, reason) VALUES (?, ?, ?, ?, ?)",
                (*values, transition.reason),
            )

    def transitions(self, *, breaker: str | None = None, limit: int = 50) -> tuple[StoredTransition, ...]:
        """The last changes of the breakers' states, or of one breaker's; the newest first."""
        sql = (
            "SELECT at, breaker, from_state, to_state, reason FROM transitions"
            " WHERE ?1 IS NULL OR breaker = ?1 ORDER BY number DESC LIMIT ?2"
        )
        with self._database.reading() as connection:
            rows = connection.execute(sql, (text(breaker), limit)).fetchall()
        return tuple(StoredTransition(moment(at), *rest) for at, *rest in rows)

    def set_limits(self, *, max_age: float, max_bytes: int) -> None:
        """Keep to other limits from the next pruning on; see `open`."""
        self._upkeep.set_limits(max_age=max_age, max_bytes=max_bytes)

    def prune(self) -> int:
        """Let go of what is too old or too much, and give the room back to the disk; how many scans went."""
        return self._upkeep.prune()

    def recover(self) -> int:
        """Mark scans as interrupted whose process is no more; how many there were."""
        return self._upkeep.recover()

    def close(self) -> None:
        """Let go of the file. Scans of this process that were not finished count as interrupted from now on."""
        with self._owner_lock:
            if self._owner is not None:
                self._owner.release()
                self._owner = None
        self._database.close()

    @contextmanager
    def _asking(self, query: Query | None) -> Generator[sqlite3.Connection]:
        with self._database.reading() as connection:
            if query is not None and query.target is not None:
                connection.create_function("overlaps", 1, overlap(query.target), deterministic=True)
            yield connection

    def _token(self) -> str:
        with self._owner_lock:
            if self._owner is None:
                self._owner = Owner(self._owners)
            return self._owner.token

    def _insert(self, connection: sqlite3.Connection, row: Mapping[str, object], targets: Iterable[str]) -> None:
        (number,) = connection.execute(
            f"INSERT INTO scans ({', '.join(row)}) VALUES ({', '.join('?' * len(row))}) RETURNING number",  # noqa: S608
            tuple(row.values()),
        ).fetchone()
        connection.executemany("INSERT INTO targets VALUES (?, ?, ?, ?)", target_rows(number, targets))

    def _packed(self, scan_id: str, column: str) -> bytes | None:
        sql = f"SELECT documents.{column} FROM documents JOIN scans USING (number) WHERE scan_id = ?"  # noqa: S608
        with self._database.reading() as connection:
            row = connection.execute(sql, (text(scan_id),)).fetchone()
        return None if row is None else row[0]
