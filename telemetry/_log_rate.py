"""A logging filter against floods: so many lines of one kind in so much time, and then how many were left out."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from ._arguments import number

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["RateLimitFilter"]


class RateLimitFilter(logging.Filter):
    """Lets `burst` lines of one kind pass in `interval` seconds. Thread-safe; remembers 1,000 kinds.

    A kind is a logger, a level and a message before its arguments are filled in: a thousand failures
    with a thousand targets are one kind. The first line after a silence says how many were left out, in
    the field `suppressed`. Errors (`exempt` and above) always pass, and so do lines of the loggers named in
    `unlimited` and of those below them: records that somebody is owed whole, such as an audit.

    >>> limit = RateLimitFilter(burst=2, interval=60.0, clock=lambda: 0.0)
    >>> record = logging.makeLogRecord({"msg": "call rejected", "levelno": logging.WARNING})
    >>> [limit.filter(record) for _ in range(4)]
    [True, True, False, False]
    """

    def __init__(
        self,
        *,
        burst: int = 10,
        interval: float = 60.0,
        exempt: int = logging.ERROR,
        unlimited: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
        capacity: int = 1000,
    ) -> None:
        super().__init__()
        number("burst", burst, "lines, 1 or more, for example 10", low=1)
        number("interval", interval, "seconds above 0, for example 60.0", low=1e-6)
        number("exempt", exempt, "a level of logging, for example logging.ERROR", low=0)
        number("capacity", capacity, "a number of kinds, 1 or more, for example 1000", low=1)
        self._burst = burst
        self._interval = interval
        self._exempt = exempt
        self._unlimited = tuple(unlimited)
        self._clock = clock
        self._capacity = capacity
        self._lock = threading.RLock()
        self._kinds: OrderedDict[tuple[str, int, str], list[float]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line may pass."""
        if record.levelno >= self._exempt or self._is_unlimited(record.name):
            return True
        kind = (record.name, record.levelno, str(record.msg)[:200])
        with self._lock:
            now = self._clock()
            began, passed, suppressed = self._kinds.pop(kind, (now, 0, 0))
            if now - began >= self._interval:
                if suppressed:
                    record.suppressed = int(suppressed)
                began, passed, suppressed = now, 0, 0
            passes = passed < self._burst
            self._kinds[kind] = [began, passed + passes, suppressed + (not passes)]
            if len(self._kinds) > self._capacity:
                self._kinds.popitem(last=False)
        return passes

    def _is_unlimited(self, name: str) -> bool:
        return any(name == one or name.startswith(f"{one}.") for one in self._unlimited)
