"""Counters of the whole process as its users know them: requests, errors, connections, uptime."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SystemMetrics"]


class SystemMetrics:
    """Requests, errors and connections since `start_time`. Thread-safe.

    >>> system = SystemMetrics()
    >>> system.increment_request_count()
    >>> system.get_stats()["request_count"], system.get_stats()["error_rate"]
    (1, 0.0)
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, lock: threading.RLock | None = None) -> None:
        self._clock = clock
        self._lock = lock if lock is not None else threading.RLock()
        self._started = clock()
        self.start_time = datetime.now(UTC)
        self.request_count = 0
        self.error_count = 0
        self.active_connections = 0

    def increment_request_count(self) -> None:
        """One more request."""
        with self._lock:
            self.request_count += 1

    def increment_error_count(self) -> None:
        """One more error."""
        with self._lock:
            self.error_count += 1

    def increment_active_connections(self) -> None:
        """A connection was opened."""
        with self._lock:
            self.active_connections += 1

    def decrement_active_connections(self) -> None:
        """A connection was closed. Never below 0."""
        with self._lock:
            self.active_connections = max(0, self.active_connections - 1)

    def get_uptime(self) -> float:
        """Seconds since the start, whatever the wall clock did since."""
        return self._clock() - self._started

    def get_stats(self) -> dict[str, Any]:
        """All figures; `error_rate` in percent, at most 100."""
        with self._lock:
            requests, errors, connections = self.request_count, self.error_count, self.active_connections
        return {
            "uptime_seconds": round(self.get_uptime(), 2),
            "request_count": requests,
            "error_count": errors,
            "error_rate": round(min(errors / requests, 1.0) * 100, 2) if requests else 0.0,
            "active_connections": connections,
            "start_time": self.start_time.isoformat(),
        }

    def reset(self) -> None:
        """Zero the three counters; the start stays."""
        with self._lock:
            self.request_count = self.error_count = self.active_connections = 0
