"""Forking while metrics are recorded: whole state and free locks on both sides."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading

__all__ = ["hold_at_fork"]


class _Owner(Protocol):
    @property
    def lock(self) -> threading.RLock: ...


_owners: weakref.WeakSet[_Owner] = weakref.WeakSet()
_held: list[_Owner] = []


def hold_at_fork(owner: _Owner) -> None:
    """Take the lock of `owner` for the moment of every fork, so that the child finds nothing half done."""
    _owners.add(owner)


def _before() -> None:
    _held.extend(_owners)
    for owner in _held:
        owner.lock.acquire()


def _after() -> None:
    while _held:
        _held.pop().lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
