"""How much one client may take: requests a minute, and a fair share of those served at once. Decisions are pure."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bucket", "Gate", "Rate", "RateLimiter", "Taken", "client_key", "has_room", "take"]

_MOST_CLIENTS: Final = 10_000
_SHARE: Final = 4
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """`requests` in `period` seconds, and as many at once after a rest."""

    requests: int
    period: float = _MINUTE


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many requests were left at the time `at`."""

    left: float
    at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to one request: the bucket from now on, and what to tell the client.

    `remaining` requests are left; after `retry_after` seconds there is one more than none; after
    `reset` seconds all are.
    """

    allowed: bool
    bucket: Bucket
    remaining: int
    retry_after: float
    reset: float


def take(bucket: Bucket | None, rate: Rate, now: float) -> Taken:
    """Take one request out of `bucket` (a token bucket), or say when there will be one; None is a full bucket.

    >>> first = take(None, Rate(2), now=0.0)
    >>> second = take(first.bucket, Rate(2), now=0.0)
    >>> third = take(second.bucket, Rate(2), now=0.0)
    >>> first.allowed, second.remaining, third.allowed, third.retry_after
    (True, 0, False, 30.0)
    """
    per_second = rate.requests / rate.period
    left = float(rate.requests)
    if bucket is not None:
        # A clock that went back gives nothing.
        left = min(left, bucket.left + max(0.0, now - bucket.at) * per_second)
    allowed = left >= 1.0
    if allowed:
        left -= 1.0
    return Taken(
        allowed=allowed,
        bucket=Bucket(left, now),
        remaining=int(left),
        retry_after=0.0 if allowed else (1.0 - left) / per_second,
        reset=(rate.requests - left) / per_second,
    )


def has_room(own: int, total: int, limit: int) -> bool:
    """Whether a client that holds `own` of `total` places may take one more, of `limit` in all.

    A client may hold up to four times what is free: one alone gets four fifths, and whoever comes next
    always finds some (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).

    >>> has_room(79, 79, 100), has_room(80, 80, 100), has_room(0, 80, 100), has_room(0, 100, 100)
    (True, False, True, False)
    """
    return total < limit and own < _SHARE * (limit - total)


def client_key(address: str | None) -> str:
    """The client at `address`: an IPv4 address, or the /64 of an IPv6 one, as one customer has that many addresses.

    >>> client_key("10.0.0.7"), client_key("2001:db8::1234"), client_key(None)
    ('10.0.0.7', '2001:db8::/64', 'unknown')
    """
    if address is None:
        return "unknown"
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped) if parsed.ipv4_mapped else str(ip_network((parsed, 64), strict=False))


class RateLimiter:
    """A bucket for each client and tool, the 10,000 last seen.

    Args:
        rate: the rate in force; asked each time, so that it may change.
        clock: monotonic seconds.
    """

    def __init__(self, rate: Callable[[], Rate], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    @property
    def rate(self) -> Rate:
        """The rate in force."""
        return self._rate()

    def take(self, client: str, tool: str) -> Taken:
        """Take one request of `client` to `tool`."""
        key = (client, tool)
        taken = take(self._buckets.pop(key, None), self._rate(), self._clock())
        self._buckets[key] = taken.bucket
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return taken


class Gate:
    """Counts who is being served.

    >>> gate = Gate(lambda: 5)
    >>> [gate.enter("ann") for _ in range(5)], gate.enter("bob")
    ([True, True, True, True, False], True)
    >>> gate.leave("ann"); gate.total
    4
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()
        self.total = 0

    def enter(self, client: str) -> bool:
        """Take a place; False when the client has its share, or all are taken."""
        if not has_room(self._held[client], self.total, self._limit()):
            if not self._held[client]:
                del self._held[client]
            return False
        self._held[client] += 1
        self.total += 1
        return True

    def leave(self, client: str) -> None:
        """Give the place back."""
        self.total -= 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
