"""A schedule as an operator sees it: the same at the terminal and over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._schedule import next_slot
from ._store import schedule_to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ._store import ScheduleRecord

__all__ = ["UnknownScheduleError", "coming", "view_of"]


class UnknownScheduleError(LookupError):
    """There is no schedule of this `name`; `known` are those that there are."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.known = known
        super().__init__(name, known)

    def __str__(self) -> str:
        known = f"there are {', '.join(self.known)}" if self.known else "there is none"
        return f"no schedule is called {self.name!r}: {known}"


def view_of(record: ScheduleRecord, now: datetime) -> dict[str, Any]:
    """The schedule, when it runs next, and how it went last; ready for JSON, times as ISO 8601 in UTC."""
    schedule = record.schedule
    due, _ = next(coming(record, now))
    return {
        "name": schedule.name,
        "when": str(schedule.when),
        "targets": [target for target in (schedule.request.target, *schedule.request.targets) if target],
        **schedule_to_dict(schedule),
        "paused": schedule.paused,
        "source": record.source,
        "created": record.created.isoformat(timespec="seconds"),
        "next": None if schedule.paused else due.isoformat(timespec="seconds"),
        "last_run": None if record.last_run is None else record.last_run.isoformat(timespec="seconds"),
        "last_scan": record.last_scan,
        "last_state": record.last_state,
        "last_error": record.last_error,
    }


def coming(record: ScheduleRecord, now: datetime) -> Iterator[tuple[datetime, str]]:
    """When the schedule runs from `now` on, without end, with its name."""
    schedule = record.schedule
    slot = next_slot(schedule, max(record.last_slot, now), now)
    while True:
        yield schedule.due(slot), schedule.name
        slot = schedule.when.after(slot)
