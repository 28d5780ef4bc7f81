"""The events of a running scan for any number of readers, none of whom can hold it up."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from .._queue import Queued
from ..nmap._progress import OverallProgress
from ..nmap._scan_events import Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..nmap._tool import LiveEvent

__all__ = ["Fanout", "JobEvent", "Reader"]

JobEvent: TypeAlias = "LiveEvent | Queued"
"""What happens in a scan, and that it has to wait."""

_SUPERSEDED: Final = (Progress, OverallProgress, Queued)
"""Of these only the latest counts."""


class Reader:
    """One reader's events, at most `size` of them.

    A later percentage takes the place of an earlier one that was not read yet. Who is slower than that
    loses the oldest events.

    >>> reader = Reader(10)
    >>> for percent in (1.0, 2.0, 3.0):
    ...     reader.put(OverallProgress(percent, "Connect Scan"))
    >>> reader.end()
    >>> asyncio.run(reader.take()).percent, asyncio.run(reader.take())
    (3.0, None)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[JobEvent] = deque()
        self._filled = asyncio.Event()
        self._ended = False

    def put(self, event: JobEvent) -> None:
        """Add an event."""
        if isinstance(event, _SUPERSEDED):
            for earlier in self._waiting:
                if type(earlier) is type(event):
                    self._waiting.remove(earlier)
                    break
        if len(self._waiting) >= self._size:
            self._waiting.popleft()
        self._waiting.append(event)
        self._filled.set()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._filled.set()

    async def take(self) -> JobEvent | None:
        """The next event; waits for one. None at the end."""
        await self._filled.wait()
        if not self._waiting:
            return None
        event = self._waiting.popleft()
        if not self._waiting and not self._ended:
            self._filled.clear()
        return event


class Fanout:
    """Passes each event on to every reader. Who comes later gets the last percentage first."""

    def __init__(self) -> None:
        self._readers: set[Reader] = set()
        self._last: OverallProgress | Queued | None = None

    def put(self, event: JobEvent) -> None:
        """Tell every reader."""
        if isinstance(event, OverallProgress | Queued):
            self._last = event
        for reader in self._readers:
            reader.put(event)

    def end(self) -> None:
        """There will be no more."""
        for reader in self._readers:
            reader.end()

    @contextmanager
    def reader(self, size: int) -> Generator[Reader]:
        """A reader for as long as the block lasts."""
        reader = Reader(size)
        if self._last is not None:
            reader.put(self._last)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
