"""The live breakers of one meter, by name and weakly: what is observed, and held through a fork."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._events import BreakerMode, CircuitBreakerState

__all__ = ["LiveBreakers", "Watched"]

_log = logging.getLogger("tracefuse.resilience")


class Watched(Protocol):
    """What is read of a breaker at collection."""

    @property
    def name(self) -> str:
        """The value of the attribute `name`."""
        ...

    @property
    def state(self) -> CircuitBreakerState:
        """Where the circuit stands."""
        ...

    @property
    def mode(self) -> BreakerMode:
        """What the operator asked for."""
        ...

    def call_counts(self) -> Mapping[str, int]:
        """Ended and rejected calls by result."""
        ...

    def _hold(self) -> None: ...
    def _let_go(self, *, in_child: bool) -> None: ...


class _Ref(weakref.ref[Watched]):
    """A weak reference that knows under which name it is filed."""

    __slots__ = ("name",)
    name: str


class LiveBreakers:
    """Breakers for as long as they live.

    The garbage collector may report a death while this very thread holds a breaker's lock, so that
    report takes no lock: it is noted, and the next one to look cleans up.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[_Ref, ...]] = {}
        self._dead: deque[weakref.ref[Watched]] = deque()
        self._held: list[Watched] = []
        self._lock = threading.RLock()

    def add(self, breaker: Watched) -> None:
        """File `breaker`; a second one of the same name is added to the first in the series."""
        ref = _Ref(breaker, self._dead.append)
        ref.name = breaker.name
        with self._lock:
            self._clean_up()
            others = self._by_name.get(ref.name, ())
            self._by_name[ref.name] = (*others, ref)
        if any(other() is not None for other in others):
            _log.warning(
                "circuit_breaker.duplicate_name name=%s: another breaker has this name; their series are added up."
                " Give each breaker a name of its own, or share one through a BreakerRegistry",
                ref.name,
            )

    def groups(self) -> list[list[Watched]]:
        """The live breakers, those of one name together."""
        with self._lock:
            self._clean_up()
            named = list(self._by_name.values())
        groups = ([breaker for ref in refs if (breaker := ref()) is not None] for refs in named)
        return [group for group in groups if group]

    def hold(self) -> None:
        """Before a fork: take the lock of every breaker."""
        self._lock.acquire()
        self._held = [breaker for group in self.groups() for breaker in group]
        for breaker in self._held:
            breaker._hold()

    def let_go(self, *, in_child: bool) -> None:
        """After a fork: free them."""
        while self._held:
            self._held.pop()._let_go(in_child=in_child)
        self._lock.release()

    def _clean_up(self) -> None:
        """Forget the dead; the caller holds the lock."""
        while self._dead:
            ref = cast("_Ref", self._dead.popleft())
            rest = tuple(other for other in self._by_name.get(ref.name, ()) if other is not ref)
            if rest:
                self._by_name[ref.name] = rest
            else:
                self._by_name.pop(ref.name, None)
