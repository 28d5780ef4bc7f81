"""Places to run in, for tasks of any event loop and thread: the shell around the queue's decisions."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ._errors import QueueFullError
from ._queue import FairQueue, QueueLimits, Ticket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable, Iterable

    from ._queue import Queued

__all__ = ["Places"]

_RETRY_AFTER: Final = 5.0


class Places:
    """Limits how many run at once; the others wait in a fair queue of limited length.

    >>> async def main() -> None:
    ...     places = Places(QueueLimits(total=1))
    ...     async with places.take("nmap", "ann"):
    ...         print(places.running, places.waiting)
    >>> asyncio.run(main())
    1 0
    """

    def __init__(self, limits: QueueLimits | None = None) -> None:
        self._queue = FairQueue(limits or QueueLimits())
        # Only ever held for arithmetic.
        self._lock = threading.Lock()
        self._turns: dict[Ticket, asyncio.Future[None]] = {}

    @property
    def running(self) -> int:
        """How many run now."""
        return self._queue.running

    @property
    def waiting(self) -> int:
        """How many wait now."""
        with self._lock:
            return self._queue.waiting

    @property
    def limits(self) -> QueueLimits:
        """The limits in force."""
        return self._queue.limits

    def resize(self, limits: QueueLimits) -> None:
        """Change the limits. Who waits and has a place now gets it; who runs or waits is not turned out."""
        with self._lock:
            turns = [self._turns[admitted] for admitted in self._queue.resize(limits)]
        self._call(turns)

    @asynccontextmanager
    async def take(
        self, tool: str, caller: Hashable, *, queued: Callable[[Queued], None] = lambda _queued: None
    ) -> AsyncGenerator[None]:
        """Hold a place for `tool` during the block, waiting for one if need be; then `queued` is told first.

        Raises:
            QueueFullError: too many wait already.
        """
        ticket = Ticket(tool, caller)
        waits = self._enter(ticket)
        try:
            if waits is not None:
                queued(waits)
                await self._turns[ticket]
            yield
        finally:
            self._leave(ticket)

    def _enter(self, ticket: Ticket) -> Queued | None:
        with self._lock:
            if self._queue.must_wait(ticket.tool) and self._queue.is_full:
                raise QueueFullError(self._queue.waiting, _RETRY_AFTER)
            waits = self._queue.enter(ticket)
            if waits is not None:
                self._turns[ticket] = asyncio.get_running_loop().create_future()
            return waits

    def _leave(self, ticket: Ticket) -> None:
        with self._lock:
            self._turns.pop(ticket, None)
            turns = [self._turns[admitted] for admitted in self._queue.leave(ticket)]
        self._call(turns)

    def _call(self, turns: Iterable[asyncio.Future[None]]) -> None:
        for turn in turns:
            # A loop that was closed has cancelled its tasks, and each gives its own place back.
            with contextlib.suppress(RuntimeError):
                turn.get_loop().call_soon_threadsafe(_begin, turn)


def _begin(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
