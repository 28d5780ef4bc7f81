"""Where schedules are kept: one row for each, with what became of it last. Safe for several processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from .._sqlite import Database, Schema, StoreError
from ..history._records import request_from_dict, request_to_dict
from ._schedule import Cron, Every, Missed, Schedule, ScheduleError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

__all__ = ["ScheduleRecord", "ScheduleStore", "ScheduleStoreError", "schedule_from_dict", "schedule_to_dict"]

Source = Literal["command", "file"]


class ScheduleStoreError(StoreError):
    """The schedules cannot be opened, read or written: `path`, `reason`, and `advice`, what to do about it."""


_SCHEMA: Final = Schema(
    "list of schedules",
    0x54465343,
    [
        [
            """
            CREATE TABLE schedules (
                name TEXT PRIMARY KEY,
                document TEXT NOT NULL,
                source TEXT NOT NULL,
                paused INTEGER NOT NULL DEFAULT 0,
                created REAL NOT NULL,
                last_slot REAL NOT NULL,
                last_run REAL,
                last_scan TEXT,
                last_state TEXT,
                last_error TEXT
            ) STRICT
            """
        ]
    ],
    ScheduleStoreError,
)


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as it is kept.

    Attributes:
        schedule: the schedule.
        source: whether it came from a command or from the configuration file.
        created: when it was added.
        last_slot: the latest slot that was run or given up; at first the time of `created`.
        last_run: when a run was started last.
        last_scan: its scan id.
        last_state: how it ended, or "running".
        last_error: why it failed.
    """

    schedule: Schedule
    source: Source
    created: datetime
    last_slot: datetime
    last_run: datetime | None = None
    last_scan: str | None = None
    last_state: str | None = None
    last_error: str | None = None


def schedule_to_dict(schedule: Schedule) -> dict[str, Any]:
    """A schedule as JSON-ready data, without its name and without whether it rests."""
    when = schedule.when
    times: dict[str, Any] = (
        {"every": when.seconds} if isinstance(when, Every) else {"cron": when.expression, "timezone": when.timezone}
    )
    return {
        "request": request_to_dict(schedule.request),
        **times,
        "jitter": schedule.jitter,
        "overlap": schedule.overlap,
        "missed": schedule.missed.value,
    }


def schedule_from_dict(name: str, document: Mapping[str, Any], *, paused: bool = False) -> Schedule:
    """The inverse of `schedule_to_dict`. Raises ScheduleError for values that cannot be used."""
    when = Every(document["every"]) if "every" in document else Cron(document["cron"], document["timezone"])
    return Schedule(
        name,
        request_from_dict(document["request"]),
        when,
        jitter=document["jitter"],
        overlap=document["overlap"],
        missed=Missed(document["missed"]),
        paused=paused,
    )


class ScheduleStore:
    """The schedules of one user.

    Raises:
        ScheduleStoreError: the file cannot be opened, read or written.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = Database(path, _SCHEMA)
        self._clock = clock

    def all(self) -> list[ScheduleRecord]:
        """Every schedule, by name."""
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(f"{_SELECT} ORDER BY name")]

    def get(self, name: str) -> ScheduleRecord | None:
        """The schedule of this name, or None."""
        with self._database.reading() as connection:
            row = connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
        return None if row is None else _record(row)

    def add(self, schedule: Schedule, source: Source = "command") -> None:
        """Keep a new schedule.

        Raises:
            ScheduleError: there is one of this name.
        """
        with self._database.writing() as connection:
            if connection.execute("SELECT 1 FROM schedules WHERE name = ?", (schedule.name,)).fetchone():
                expected = "there is a schedule of this name; remove it first, or choose another name"
                raise ScheduleError("name", schedule.name, expected, f"tracefuse schedule remove {schedule.name}")
            self._insert(connection, schedule, source)

    def remove(self, name: str) -> bool:
        """Forget a schedule; False when there is none of this name."""
        with self._database.writing() as connection:
            return connection.execute("DELETE FROM schedules WHERE name = ?", (name,)).rowcount > 0

    def pause(self, name: str) -> bool:
        """Let a schedule rest; False when there is none of this name."""
        return self._update("UPDATE schedules SET paused = 1 WHERE name = ?", name)

    def resume(self, name: str) -> bool:
        """Let a schedule run again, from now on: what it rested through was not missed."""
        now = self._clock().timestamp()
        return self._update(
            "UPDATE schedules SET paused = 0, last_slot = CASE WHEN paused THEN ? ELSE last_slot END WHERE name = ?",
            now,
            name,
        )

    def claim(self, record: ScheduleRecord, slot: datetime) -> bool:
        """Take `slot` for this process; False when another one was first, or the schedule was changed meanwhile."""
        return self._update(
            "UPDATE schedules SET last_slot = ? WHERE name = ? AND last_slot = ? AND NOT paused",
            slot.timestamp(),
            record.schedule.name,
            record.last_slot.timestamp(),
        )

    def began(self, name: str, scan_id: str) -> None:
        """A run of the schedule was started."""
        self._update(
            "UPDATE schedules SET last_run = ?, last_scan = ?, last_state = 'running', last_error = NULL"
            " WHERE name = ?",
            self._clock().timestamp(),
            scan_id,
            name,
        )

    def ended(self, name: str, state: str, error: str | None = None) -> None:
        """How the last run ended."""
        self._update("UPDATE schedules SET last_state = ?, last_error = ? WHERE name = ?", state, error, name)

    def take_over(self, schedules: Iterable[Schedule]) -> None:
        """Let the schedules of the configuration file be these; those added by command stay.

        What is known of a schedule's last run is kept, and one that is paused stays so. A name that was
        added by command is left to the command.
        """
        wanted = {schedule.name: schedule for schedule in schedules}
        with self._database.writing() as connection:
            known = {record.schedule.name: record for record in map(_record, connection.execute(_SELECT))}
            for name, record in known.items():
                if record.source == "file" and name not in wanted:
                    connection.execute("DELETE FROM schedules WHERE name = ?", (name,))
            for name, schedule in wanted.items():
                if name not in known:
                    self._insert(connection, schedule, "file")
                elif known[name].source == "file":
                    document = json.dumps(schedule_to_dict(schedule))
                    connection.execute("UPDATE schedules SET document = ? WHERE name = ?", (document, name))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _insert(self, connection: sqlite3.Connection, schedule: Schedule, source: Source) -> None:
        now = self._clock().timestamp()
        connection.execute(
            "INSERT INTO schedules (name, document, source, paused, created, last_slot) VALUES (?, ?, ?, ?, ?, ?)",
            (schedule.name, json.dumps(schedule_to_dict(schedule)), source, schedule.paused, now, now),
        )

    def _update(self, statement: str, *values: object) -> bool:
        with self._database.writing() as connection:
            return connection.execute(statement, values).rowcount > 0


_COLUMNS: Final = "name, document, source, paused, created, last_slot, last_run, last_scan, last_state, last_error"
_SELECT: Final = f"SELECT {_COLUMNS} FROM schedules"  # noqa: S608 - nothing of it comes from outside


def _record(row: tuple[Any, ...]) -> ScheduleRecord:
    name, document, source, paused, created, last_slot, last_run, scan, state, error = row
    schedule = schedule_from_dict(name, json.loads(document))
    return ScheduleRecord(
        replace(schedule, paused=bool(paused)),
        source,
        _moment(created),
        _moment(last_slot),
        None if last_run is None else _moment(last_run),
        scan,
        state,
        error,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
