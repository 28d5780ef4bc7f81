"""What a history lets go of: decided from ages and sizes, oldest first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

__all__ = ["REFUSALS_KEPT", "Weight", "age_limit", "last_to_drop"]

REFUSALS_KEPT: Final = 10_000
"""Refused scans that are kept: somebody who only gets refusals shall not push out everybody's results."""


class Weight(NamedTuple):
    """A finished scan by its number, and the bytes that come free with it."""

    number: int
    size: int


def age_limit(now: datetime, max_age: float) -> datetime:
    """Scans that began before this are too old; `max_age` in seconds."""
    return now - timedelta(seconds=max_age)


def last_to_drop(oldest_first: Iterable[Weight], surplus: int) -> int | None:
    """The number of the last scan to go, so that `surplus` bytes come free; None when nothing has to.

    The scans are taken in order and no further than needed; all of them go when all do not suffice.

    >>> last_to_drop([Weight(1, 500), Weight(2, 500), Weight(3, 500)], 600)
    2
    """
    last: int | None = None
    for number, size in oldest_first:
        if surplus <= 0:
            break
        last, surplus = number, surplus - size
    return last
