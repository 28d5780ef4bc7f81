"""Changes of circuit breakers in the history: a row for each transition, written beside whoever caused it."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tracefuse.resilience import Transition

from ._records import HistoryError, StoredTransition

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import datetime

    from tracefuse.resilience import BreakerRegistry

    from ._history import History

__all__ = ["BreakerLog", "breakers_kept"]

_log = logging.getLogger(__name__)


class BreakerLog:
    """Writes every transition of the breakers of `registry` into `history`, in a thread of its own.

    No call through a breaker waits for the disk; a transition that cannot be written is logged. What
    the breakers do after a restart does not depend on it: their states are kept elsewhere.
    """

    def __init__(self, registry: BreakerRegistry, history: History, *, clock: Callable[[], datetime]) -> None:
        self._history = history
        self._clock = clock
        self._writer = ThreadPoolExecutor(1, "tracefuse-breaker-log")
        self._breakers = tuple(registry)
        for breaker in self._breakers:
            breaker.add_listener(self._changed)

    def close(self) -> None:
        """Write what is pending, and listen no more. Idempotent."""
        breakers, self._breakers = self._breakers, ()
        for breaker in breakers:
            breaker.remove_listener(self._changed)
        self._writer.shutdown()

    def _changed(self, name: str, event: object) -> None:
        if isinstance(event, Transition):
            states = event.from_state.name, event.to_state.name
            self._writer.submit(self._write, StoredTransition(self._clock(), name, *states, str(event.reason)))

    def _write(self, transition: StoredTransition) -> None:
        try:
            self._history.add_transition(transition)
        except HistoryError as error:
            _log.warning("a change of breaker %s is not in the history: %s", transition.breaker, error)


@contextmanager
def breakers_kept(registry: BreakerRegistry, history: History, *, clock: Callable[[], datetime]) -> Generator[None]:
    """Keep the transitions of the breakers of `registry` during the block."""
    log = BreakerLog(registry, history, clock=clock)
    try:
        yield
    finally:
        log.close()
