"""Forking with breakers in use: the child starts with free locks and whole states.

Before a fork every registered lock is taken, after it each side frees its own. So no other thread is
in the middle of the arithmetic when memory is copied, and the child waits for nobody. Owners then
put their own house in order in the child (a breaker draws its jitter anew, or all children of one
parent would probe at the same moment).
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["hold_at_fork"]


class _Lock(Protocol):
    def acquire(self) -> bool: ...
    def release(self) -> None: ...


class _Owner(Protocol):
    """Owns a lock of which no thread that holds it ever asks for another registered one."""

    @property
    def _lock(self) -> _Lock: ...
    def _after_fork_in_child(self) -> None: ...


_register: AbstractContextManager[bool] = threading.RLock()
_owners: weakref.WeakSet[_Owner] = weakref.WeakSet()
_held: list[_Owner] = []


def hold_at_fork(owner: _Owner) -> None:
    """Keep `owner` whole through every fork for as long as it lives."""
    with _register:
        _owners.add(owner)


def _before() -> None:
    _register.__enter__()
    _held.extend(_owners)
    for owner in _held:
        owner._lock.acquire()


def _after_in_parent() -> None:
    while _held:
        _held.pop()._lock.release()
    _register.__exit__(None, None, None)


def _after_in_child() -> None:
    for owner in _held:
        owner._after_fork_in_child()
    _after_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
