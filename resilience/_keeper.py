"""Keeping breakers across restarts: restore at birth, write after each change of state.

Writing happens in a thread of the keeper's own, so no call ever waits for a disk.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from ._events import ModeChanged, Transition

if TYPE_CHECKING:
    from ._breaker import CircuitBreaker
    from ._events import BreakerEvent
    from ._store import StateStore

__all__ = ["StateKeeper"]

_log = logging.getLogger("tracefuse.resilience")


class StateKeeper:
    """Binds breakers to a store.

    >>> from tracefuse.resilience import CircuitBreaker, MemoryStore
    >>> keeper = StateKeeper(MemoryStore())
    >>> breaker = CircuitBreaker(name="db")
    >>> keeper.keep(breaker)
    >>> _ = breaker.force_open_nowait()
    >>> keeper.flush()
    >>> keeper.store.load("db").state
    'OPEN'
    """

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self._process = os.getpid()
        self._writer = ThreadPoolExecutor(1, "tracefuse-keeper")
        self._pending: set[Future[None]] = set()

    def keep(self, breaker: CircuitBreaker) -> None:
        """Bring `breaker` to what is stored for its name, and store every change from now on."""
        try:
            snapshot = self.store.load(breaker.name)
        except Exception:  # noqa: BLE001 - a broken store must not break what it should protect
            _log.exception("circuit_breaker.load_failed name=%s: it starts closed", breaker.name)
            snapshot = None
        if snapshot is not None:
            breaker.restore(snapshot)

        def write(name: str, event: BreakerEvent) -> None:
            if isinstance(event, (Transition, ModeChanged)):
                self._submit(breaker)

        breaker.add_listener(write)

    def flush(self, timeout: float | None = 5.0) -> None:
        """Wait until what was asked for is written, at most `timeout` seconds."""
        wait(tuple(self._pending), timeout)

    def close(self, timeout: float | None = 5.0) -> None:
        """Write what is pending and stop the thread."""
        self.flush(timeout)
        self._writer.shutdown(wait=False)

    def _submit(self, breaker: CircuitBreaker) -> None:
        if self._process != os.getpid():
            # A forked child has the parent's executor, but not its thread.
            self._process, self._writer, self._pending = os.getpid(), ThreadPoolExecutor(1, "tracefuse-keeper"), set()
        try:
            future = self._writer.submit(self._write, breaker)
        except RuntimeError:
            _log.warning("circuit_breaker.save_refused name=%s: the keeper is closed", breaker.name)
            return
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)

    def _write(self, breaker: CircuitBreaker) -> None:
        try:
            self.store.save(breaker.snapshot())
        except Exception:  # noqa: BLE001 - a broken store must not break what it should protect
            _log.exception("circuit_breaker.save_failed name=%s", breaker.name)
