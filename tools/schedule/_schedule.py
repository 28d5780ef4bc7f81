"""When a scheduled scan runs next: schedules as values, and the arithmetic of their times. Pure.

Cron expressions are read by cronsim, which follows Debian's cron, also where clocks change: a run that
falls into the hour that spring skips is made right after it, and one at a fixed time in the hour that
autumn repeats is made once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..nmap import ScanRequest

__all__ = ["Cron", "Decision", "Every", "Missed", "Schedule", "ScheduleError", "decide", "next_slot", "parse_interval"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CORRECTED: Final = timedelta(hours=3)
"""Clocks that go back further than this were wrong before; after a smaller step no slot is run twice (as in cron)."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PART: Final = re.compile(r"(\d{1,9})\s*([smhdw])", re.IGNORECASE)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SHORTEST: Final = 1.0
_LONGEST: Final = 366 * 86_400.0


class ScheduleError(ValueError):
    """A schedule cannot be used: the `field`, its `value`, what is `expected`, and an `example` that is accepted."""

    def __init__(self, field: str, value: str, expected: str, example: str) -> None:
        self.field = field
        self.value = value
        self.expected = expected
        self.example = example
        super().__init__(field, value, expected, example)

    def __str__(self) -> str:
        return f"{self.field}: {self.value!r} cannot be used: {self.expected}; for example {self.example}"


class Missed(StrEnum):
    """What becomes of runs that were due while nobody was there to start them."""

    SKIP = "skip"
    RUN_ONCE = "run-once"


@dataclass(frozen=True, slots=True)
class Every:
    """Every `seconds`, counted from the epoch, so that restarts do not shift it."""

    seconds: float

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.seconds <= _LONGEST:
            raise ScheduleError("every", f"{self.seconds:g}s", "it should be from 1 second to 366 days", "1h30m")

    def after(self, moment: datetime) -> datetime:
        """The first time that is later than `moment`."""
        return self.latest(moment) + timedelta(seconds=self.seconds)

    def latest(self, moment: datetime) -> datetime:
        """The last time that is not later than `moment`."""
        step = timedelta(seconds=self.seconds)
        return _EPOCH + (moment - _EPOCH) // step * step

    def count(self, first: datetime, last: datetime) -> int:
        """How many times there are from `first` to `last`, both of them times."""
        return round((last - first) / timedelta(seconds=self.seconds)) + 1

    def __str__(self) -> str:
        return f"every {_shown(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields of cron, in the time zone `timezone` of the IANA database."""

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            zone = ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            expected = "there is no such time zone here (pip install tzdata where the system has none)"
            raise ScheduleError("timezone", self.timezone, expected, "Europe/Berlin") from error
        if len(self.expression.split()) != 5:
            raise ScheduleError("cron", self.expression, "it should have five fields", "'0 3 * * MON-FRI'")
        try:
            found = next(CronSim(self.expression, datetime(2000, 1, 1, tzinfo=zone)), None)
        except CronSimError as error:
            raise ScheduleError("cron", self.expression, str(error).lower(), "'0 3 * * MON-FRI'") from error
        if found is None:
            raise ScheduleError("cron", self.expression, "there is no such day", "'0 3 1 * *'")

    def after(self, moment: datetime) -> datetime:
        """The first time that is later than `moment`, in UTC.

        >>> Cron("30 2 * * *", "Europe/Berlin").after(datetime(2026, 3, 28, 12, tzinfo=UTC)).isoformat()
        '2026-03-29T01:00:00+00:00'
        """
        return next(self._times(moment))

    def latest(self, moment: datetime) -> datetime:
        """The last time that is not later than `moment`, in UTC."""
        before = next(self._times(moment, reverse=True))
        following = self.after(before)
        return following if following <= moment else before

    def count(self, first: datetime, last: datetime) -> int:
        """How many times there are from `first` to `last`; counting ends at 1,000."""
        return 1 + sum(1 for _ in takewhile(lambda time: time <= last, islice(self._times(first), 999)))

    def _times(self, moment: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        local = moment.astimezone(ZoneInfo(self.timezone))
        return (time.astimezone(UTC) for time in CronSim(self.expression, local, reverse=reverse))

    def __str__(self) -> str:
        return f"cron {self.expression} ({self.timezone})"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A scan that is run again and again.

    Attributes:
        name: what people call it; letters, digits, `_`, `.`, `-`, at most 64.
        request: the scan, checked by the policy each time.
        when: its times.
        jitter: seconds by which a run may be late, so that many schedules do not start together.
        overlap: start a run also while the one before it is not over.
        missed: what becomes of runs that nobody started.
        paused: whether it rests.
    """

    name: str
    request: ScanRequest = field(repr=False)
    when: Every | Cron
    jitter: float = 0.0
    overlap: bool = False
    missed: Missed = Missed.SKIP
    paused: bool = False

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            expected = "it should be letters, digits, '_', '.' or '-', at most 64, with no '-' in front"
            raise ScheduleError("name", self.name[:80], expected, "nightly-lab")
        if not 0 <= self.jitter <= 86_400:
            raise ScheduleError("jitter", f"{self.jitter:g}s", "it should be from 0 seconds to one day", "5m")

    def due(self, slot: datetime) -> datetime:
        """When the run of `slot` starts: later by the same share of the jitter however often one asks.

        The share comes from a hash of name and slot, so a restart neither moves a run nor doubles it.
        """
        digest = hashlib.blake2b(f"{self.name}|{slot.timestamp()}".encode(), digest_size=8).digest()
        return slot + timedelta(seconds=self.jitter * int.from_bytes(digest) / 2**64)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now: whether to `run`, the last slot that is due (None when none is), how many were missed before
    it or with it, and when to look again.
    """

    run: bool
    slot: datetime | None
    missed: int
    again: datetime


def next_slot(schedule: Schedule, last: datetime, now: datetime) -> datetime:
    """The slot after `last`, the latest that was run or given up.

    When the clock was set back far, what `last` says is not to be waited for.

    >>> from tracefuse.tools.nmap import ScanRequest
    >>> hourly = Schedule("hourly", ScanRequest("127.0.0.1"), Every(3600))
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> next_slot(hourly, noon, noon).isoformat()
    '2026-01-01T13:00:00+00:00'
    """
    return schedule.when.after(now if last - now > _CORRECTED else last)


def decide(schedule: Schedule, last: datetime, now: datetime, *, grace: float) -> Decision:
    """Whether a run is to be started at `now`.

    A slot that is more than `grace` seconds late counts as missed. Of several missed ones `run-once`
    starts a single run; `skip` waits for the next slot. Slots that come due together, because the
    process slept, are one run as well.

    >>> from tracefuse.tools.nmap import ScanRequest
    >>> hourly = Schedule("hourly", ScanRequest("127.0.0.1"), Every(3600), missed=Missed.RUN_ONCE)
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> decision = decide(hourly, noon, noon + timedelta(hours=3, minutes=30), grace=60)
    >>> decision.slot.hour, decision.missed, decision.again.hour
    (15, 2, 16)
    """
    slot = next_slot(schedule, last, now)
    if schedule.due(slot) > now:
        return Decision(False, None, 0, schedule.due(slot))
    newest, following = _newest_due(schedule, slot, now)
    late = (now - schedule.due(newest)).total_seconds() > grace
    run = not late or schedule.missed is Missed.RUN_ONCE
    missed = schedule.when.count(slot, newest) - (1 if run else 0)
    return Decision(run, newest, missed, schedule.due(following))


def _newest_due(schedule: Schedule, slot: datetime, now: datetime) -> tuple[datetime, datetime]:
    """The last slot from `slot` on that is due at `now`, and the one after it; without walking through years."""
    newest = max(slot, schedule.when.latest(now - timedelta(seconds=schedule.jitter)))
    following = schedule.when.after(newest)
    while schedule.due(following) <= now:
        newest, following = following, schedule.when.after(following)
    return newest, following


def parse_interval(text: str) -> float:
    """Seconds of a text such as `90s`, `15m`, `1h30m` or `2d`.

    Raises:
        ScheduleError: it is none.

    >>> parse_interval("1h30m")
    5400.0
    """
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        raise ScheduleError("interval", text[:80], "it should be numbers with the units s, m, h, d or w", "1h30m")
    return float(sum(int(number) * _SECONDS[unit.lower()] for number, unit in parts))


def _shown(seconds: float) -> str:
    for unit, length in reversed(_SECONDS.items()):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
