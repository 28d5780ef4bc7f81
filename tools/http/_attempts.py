"""Refused attempts in the audit: who was turned away, at most a line a second for each client and ten in all.

So a flood of wrong tokens cannot fill a disk: each line says how many attempts it stands for, and all of them
are counted by status in `http.server.request.duration`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .._audit import Operation
from ._limits import Rate, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._audit import Actor, Audit
    from ._limits import Bucket, RateLimiter

__all__ = ["TURNED_AWAY", "Attempts", "ClientLimits"]

TURNED_AWAY: Final = frozenset({401, 403, 429})
"""Statuses of those who may not, or not so often."""

_EACH: Final = Rate(1, period=1.0)
_ALL: Final = Rate(10, period=1.0)
_MOST_CLIENTS: Final = 1_000


class Attempts:
    """Writes refused attempts down.

    Args:
        audit: where to.
        clock: monotonic seconds.
    """

    def __init__(self, audit: Audit, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._all: Bucket | None = None
        self._clients: OrderedDict[str, tuple[Bucket, int]] = OrderedDict()

    def refused(self, client: str, name: str, resource: str, status: int, actor: Actor) -> None:
        """`client` was refused to do `name` to `resource`; the attempts left out before are told with the next line."""
        bucket, left_out = self._clients.pop(client, (None, 0))
        own = take(bucket, _EACH, self._clock())
        if own.allowed and self._has_room():
            self._audit.operation(Operation.CREATE, name, resource, status, actor, count=left_out + 1)
            left_out = 0
        else:
            left_out += 1
        self._clients[client] = (own.bucket, left_out)
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)

    def _has_room(self) -> bool:
        taken = take(self._all, _ALL, self._clock())
        self._all = taken.bucket
        return taken.allowed


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What holds for a client on every path: how much it may take, and where its refusals are written down."""

    limiter: RateLimiter
    attempts: Attempts
