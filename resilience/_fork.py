"""Forking with breakers in use: the child starts with free locks and whole states.

Before a fork every registered owner holds its locks, after it each side lets go. So no other thread
is in the middle of the arithmetic when memory is copied, and the child waits for nobody.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["hold_at_fork"]


class _Owner(Protocol):
    """Owns locks. A thread that holds one of them never waits for one of another owner."""

    def hold(self) -> None: ...
    def let_go(self, *, in_child: bool) -> None: ...


_register: AbstractContextManager[bool] = threading.RLock()
_owners: weakref.WeakSet[_Owner] = weakref.WeakSet()
_held: list[_Owner] = []


def hold_at_fork(owner: _Owner) -> None:
    """Keep what `owner` guards whole through every fork for as long as it lives."""
    with _register:
        _owners.add(owner)


def _before() -> None:
    _register.__enter__()
    _held.extend(_owners)
    for owner in _held:
        owner.hold()


def _after(*, in_child: bool) -> None:
    while _held:
        _held.pop().let_go(in_child=in_child)
    _register.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(in_child=False),
        after_in_child=lambda: _after(in_child=True),
    )
