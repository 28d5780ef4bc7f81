"""Who may run, who waits, who is next: the decisions of the queue. No clock, no lock, no event loop.

Fairness: the callers who wait take turns, and each caller's own requests stay in order. Somebody with a
hundred requests holds up somebody with one by a single place, not by a hundred.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

__all__ = ["FairQueue", "QueueLimits", "Queued", "Ticket", "WaitReason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How many run at once, in all and of one tool, and how many may wait."""

    total: int = 8
    per_tool: int = 4
    length: int = 100


class WaitReason(StrEnum):
    """Why a request waits."""

    TOOL_LIMIT = "tool limit"
    TOTAL_LIMIT = "total limit"


@dataclass(frozen=True, slots=True)
class Queued:
    """A request has to wait: why, and how many places from the front, 1 being next.

    Somebody else's turn may come before, so the position is that of this moment.
    """

    reason: WaitReason
    position: int


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """One request for a place. Two requests are never the same."""

    tool: str
    caller: Hashable


class FairQueue:
    """Places and those who wait for them.

    >>> queue = FairQueue(QueueLimits(total=1))
    >>> ann, ann_again, bob = Ticket("nmap", "ann"), Ticket("nmap", "ann"), Ticket("nmap", "bob")
    >>> queue.enter(ann), queue.enter(ann_again), queue.enter(bob)  # doctest: +ELLIPSIS
    (None, Queued(...position=1), Queued(...position=2))
    >>> queue.leave(ann) == (ann_again,), queue.leave(ann_again) == (bob,)
    (True, True)
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.limits = limits
        self._running: set[Ticket] = set()
        self._running_of: Counter[str] = Counter()
        # In the order of their turns; nobody is in here without a request.
        self._waiting: dict[Hashable, deque[Ticket]] = {}

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def is_full(self) -> bool:
        """Whether nobody else may wait."""
        return self.waiting >= self.limits.length

    def must_wait(self, tool: str) -> WaitReason | None:
        """Why a request for `tool` could not run now."""
        if self._running_of[tool] >= self.limits.per_tool:
            return WaitReason.TOOL_LIMIT
        return WaitReason.TOTAL_LIMIT if len(self._running) >= self.limits.total else None

    def enter(self, ticket: Ticket) -> Queued | None:
        """Take a place, or the end of the caller's line; None when there was a place.

        That the queue is not full is for the caller to ask before. A place that is free here is free
        for nobody who waits: each of them was asked when it became free.
        """
        reason = self.must_wait(ticket.tool)
        if reason is None:
            self._run(ticket)
            return None
        position = self._position(ticket.caller)
        self._waiting.setdefault(ticket.caller, deque()).append(ticket)
        return Queued(reason, position)

    def leave(self, ticket: Ticket) -> tuple[Ticket, ...]:
        """Give a place back, or give up waiting for one; the requests that may run from now on."""
        if ticket in self._running:
            self._running.discard(ticket)
            self._running_of[ticket.tool] -= 1
        else:
            self._remove(ticket)
        return tuple(self._admitted())

    def resize(self, limits: QueueLimits) -> tuple[Ticket, ...]:
        """Change the limits; the requests that may run from now on. Those that run or wait already stay."""
        self.limits = limits
        return tuple(self._admitted())

    def _admitted(self) -> Iterator[Ticket]:
        while (ticket := self._next()) is not None:
            self._remove(ticket)
            if ticket.caller in self._waiting:
                # Had its turn: to the end.
                self._waiting[ticket.caller] = self._waiting.pop(ticket.caller)
            self._run(ticket)
            yield ticket

    def _next(self) -> Ticket | None:
        """The first request, in the order of turns, whose tool has a place."""
        return next(
            (ticket for line in self._waiting.values() for ticket in line if self.must_wait(ticket.tool) is None), None
        )

    def _run(self, ticket: Ticket) -> None:
        self._running.add(ticket)
        self._running_of[ticket.tool] += 1

    def _remove(self, ticket: Ticket) -> None:
        line = self._waiting.get(ticket.caller)
        if line is not None and ticket in line:
            line.remove(ticket)
            if not line:
                del self._waiting[ticket.caller]

    def _position(self, caller: Hashable) -> int:
        """What the next request of `caller` would have: each before it in line costs one turn of everybody."""
        ahead = len(self._waiting.get(caller, ()))
        position, passed = 1 + ahead, False
        for other, line in self._waiting.items():
            if other == caller:
                passed = True
            else:
                position += min(len(line), ahead + (not passed))
        return position
