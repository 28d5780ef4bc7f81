"""A schedule as it is written in the configuration file."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ..config._sections import Section
from ._schedule import Cron, Every, Missed, Schedule, ScheduleError, parse_interval

__all__ = ["ScheduleEntry", "schedule_of", "times_of"]


class ScheduleEntry(Section):
    """What `[schedules.NAME]` holds: what to scan, and when.

    >>> schedule_of("lab", ScheduleEntry(targets=("127.0.0.1",), every="90m")).when
    Every(seconds=5400.0)
    """

    targets: tuple[str, ...] = Field(min_length=1)
    template: str = "quick"
    extra_args: str = ""
    exclude: tuple[str, ...] = ()
    timeout: float | None = Field(default=None, gt=0, le=86_400)
    every: str | None = None
    cron: str | None = None
    timezone: str = "UTC"
    jitter: str = "0s"
    overlap: bool = False
    missed: Missed = Missed.SKIP

    @model_validator(mode="after")
    def _times_make_sense(self) -> Self:
        times_of(self.every, self.cron, self.timezone)
        parse_interval(self.jitter)
        return self


def schedule_of(name: str, entry: ScheduleEntry) -> Schedule:
    """The schedule that `entry` describes. Raises ScheduleError for a name that is none."""
    from ..nmap import ScanRequest

    request = ScanRequest(
        targets=entry.targets,
        template=entry.template,
        extra_args=entry.extra_args,
        exclude=entry.exclude,
        timeout=entry.timeout,
    )
    return Schedule(
        name,
        request,
        times_of(entry.every, entry.cron, entry.timezone),
        jitter=parse_interval(entry.jitter),
        overlap=entry.overlap,
        missed=entry.missed,
    )


def times_of(every: str | None, cron: str | None, timezone: str) -> Every | Cron:
    """The times that are asked for in words; exactly one of the two kinds.

    >>> str(times_of("90m", None, "UTC")), str(times_of(None, "0 3 * * *", "UTC"))
    ('every 90m', 'cron 0 3 * * * (UTC)')
    """
    match every, cron:
        case str(), None:
            return Every(parse_interval(every))
        case None, str():
            return Cron(cron, timezone)
        case _:
            given = "" if every is None else f"every {every}, cron {cron}"
            raise ScheduleError("times", given, "give either an interval or a cron expression", "every 6h")
