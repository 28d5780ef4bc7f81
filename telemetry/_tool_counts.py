"""What was counted of one tool, and its figures as they are shown: rounded, moments in ISO 8601."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ._recent import ERROR, LATE, SUCCESS, successes

if TYPE_CHECKING:
    from array import array

__all__ = ["Counts", "iso", "moment", "rounded"]


def rounded(value: float, steps: int = 10_000) -> float:
    """To four decimals, or `steps` to one. Half of what `round` takes, and there are eight of them for each tool.

    >>> rounded(2.00005), rounded(200 / 3, 100), rounded(1e300)
    (2.0001, 66.67, 1e+300)
    """
    return int(value * steps + 0.5) / steps if value < 1e11 else value


def moment(microseconds: int) -> datetime:
    """The moment so many microseconds after the epoch."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def iso(microseconds: int) -> str:
    """The moment in ISO 8601. What ran lately mostly ended within the same few seconds.

    >>> iso(1_800_000_000_000_050)
    '2027-01-15T08:00:00.000050+00:00'
    """
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_iso_second(second)}.{rest:06d}+00:00"


@functools.lru_cache(maxsize=128)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


@dataclass(slots=True)
class Counts:
    """What was counted since the tool is tracked. Times in seconds."""

    successes: int = 0
    failures: int = 0
    timeouts: int = 0
    errors: int = 0
    total: float = 0.0
    shortest: float = math.inf
    longest: float = 0.0

    def add(self, seconds: array[float], flags: bytes) -> int:
        """Count executions, and answer how many of them failed."""
        plain = flags.count(SUCCESS)
        failed = 0
        if plain == len(flags):
            self.successes += plain
        else:
            failed = self._add_others(flags)
        self.total += sum(seconds)
        shortest, longest = min(seconds), max(seconds)
        if shortest < self.shortest:
            self.shortest = shortest
        if longest > self.longest:
            self.longest = longest
        return failed

    def _add_others(self, flags: bytes) -> int:
        good = successes(flags)
        failed = len(flags) - good
        self.successes += good
        self.failures += failed
        self.timeouts += sum(map(flags.count, (LATE, LATE | SUCCESS, LATE | ERROR)))
        self.errors += sum(map(flags.count, (ERROR, ERROR | LATE)))
        return failed
