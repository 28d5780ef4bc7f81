"""What an operator may do to a live breaker: modes, settings, listeners, changes of state by hand."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ._events import BreakerMode, ModeChanged
from ._shell import BreakerShell

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._config import BreakerConfig
    from ._core import BreakerCore
    from ._events import Listener, Transition

__all__ = ["OperatedBreaker"]

_log = logging.getLogger("tracefuse.resilience")


class OperatedBreaker(BreakerShell):
    """A breaker with its operator's switches; they stay as set until `release()`."""

    __slots__ = ()

    def isolate(self) -> None:
        """Refuse every call until `release()`."""
        self._switch(BreakerMode.ISOLATED)

    def disable(self) -> None:
        """Let every call through and only count, until `release()`."""
        self._switch(BreakerMode.DISABLED)

    def shadow(self) -> None:
        """Decide as ever, but let through what would be refused, until `release()`."""
        self._switch(BreakerMode.SHADOW)

    def release(self) -> None:
        """Go back to normal; the state is what it was."""
        self._switch(BreakerMode.NORMAL)

    def reconfigure(self, config: BreakerConfig) -> None:
        """Go on under `config`, keeping state, streaks and counts."""
        with self._lock:
            self._core.reconfigure(config, self._clock())
            self._draw_jitter()

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` of everything from now on."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
            self._watched = True

    def remove_listener(self, listener: Listener) -> None:
        """Stop telling `listener`. Raises ValueError when it was never added."""
        with self._lock:
            listeners = list(self._listeners)
            listeners.remove(listener)
            self._listeners = tuple(listeners)
            self._watched = self._measures or bool(listeners)

    def _force(self, move: Callable[[BreakerCore, float], Transition | None]) -> bool:
        """Change the state by hand; says whether it changed."""
        with self._lock:
            transition = move(self._core, self._clock())
            if transition is not None:
                self._took_place(transition)
        self._announce()
        return transition is not None

    def _switch(self, mode: BreakerMode) -> None:
        with self._lock:
            old = self._core.set_mode(mode)
            self._first_rejection_of = -1
            event = ModeChanged(old, mode, self._clock())
        if old is not mode:
            _log.info("circuit_breaker.mode name=%s old=%s new=%s", self._name, old, mode)
            if self._listeners:
                self._tell(event)
