"""Telling listeners: after the lock, in order, in the causing call's context, sync or async.

Events are queued while the breaker's lock is held, so their order is the order of the changes, and
delivered after it by one thread at a time. A listener that calls the breaker only adds to the queue.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from ._events import BreakerEvent, Listener

__all__ = ["Notifier"]

_log = logging.getLogger("tracefuse.resilience")
_inside: ContextVar[bool] = ContextVar("tracefuse_inside_listener", default=False)

PATIENCE = 5.0
"""How long the call that caused an event waits for its asynchronous listeners, in seconds."""


class Notifier:
    """The queue between one breaker and its listeners."""

    __slots__ = ("_last", "_name", "_queue", "_turn", "tasks", "waiters")

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: deque[tuple[tuple[Listener, ...], BreakerEvent, Context, asyncio.AbstractEventLoop | None]] = (
            deque()
        )
        self._turn = threading.Lock()
        self._last: asyncio.Task[None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.waiters: set[asyncio.Task[None]] = set()
        """Tasks that only wait for `tasks`: apart, or they would wait for themselves and for each other."""

    def push(self, listeners: tuple[Listener, ...], event: BreakerEvent) -> None:
        """Queue `event`, with the context and the loop of the caller. Called under the breaker's lock."""
        self._queue.append((listeners, event, copy_context(), _running_loop()))

    def drain(self) -> None:
        """Deliver what is queued, unless someone else is at it."""
        while self._queue:
            turn = self._turn
            if not turn.acquire(blocking=False):
                return
            try:
                while self._queue:
                    listeners, event, context, loop = self._queue.popleft()
                    for listener in listeners:
                        self._deliver(listener, event, context, loop)
            finally:
                turn.release()

    def after_fork_in_child(self) -> None:
        """Leave delivery of what the parent's threads had queued to the parent."""
        self._turn = threading.Lock()
        self._queue.clear()
        self.tasks.clear()
        self.waiters.clear()

    async def settled(self) -> None:
        """Wait for the asynchronous listeners at work in this loop, for a bounded time.

        Inside a listener there is no waiting: it would wait for itself.
        """
        loop = asyncio.get_running_loop()
        mine = {task for task in tuple(self.tasks) if task.get_loop() is loop and not task.done()}
        if not mine or _inside.get():
            return
        _, late = await asyncio.wait(mine, timeout=PATIENCE)
        if late:
            _log.warning("circuit_breaker.callback_slow name=%s running=%d after=%.1f", self._name, len(late), PATIENCE)

    def _deliver(
        self, listener: Listener, event: BreakerEvent, context: Context, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        try:
            result = context.run(_call_inside, listener, self._name, event)
            if result is not None and inspect.isawaitable(result):
                self._schedule(_guarded(self._name, result), context, loop)
        except Exception as error:  # noqa: BLE001 - a broken listener changes nothing
            _log.error("circuit_breaker.callback_failed name=%s error=%s", self._name, error, exc_info=True)

    def _schedule(
        self, work: Coroutine[Any, Any, None], context: Context, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        """Run a listener's coroutine where its caller lives: its loop, or right here without one."""
        running = _running_loop()
        if loop is not None and loop is not running and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._start, work, context, loop)
            except RuntimeError:
                work.close()
                raise
        elif running is not None:
            self._start(work, context, running)
        else:
            context.copy().run(asyncio.run, _in_time(work))

    def _start(self, work: Coroutine[Any, Any, None], context: Context, loop: asyncio.AbstractEventLoop) -> None:
        previous = self._last if self._last is not None and self._last.get_loop() is loop else None
        self._last = loop.create_task(_after(previous, work), context=context.copy())
        self.tasks.add(self._last)
        self._last.add_done_callback(self.tasks.discard)


def _call_inside(listener: Listener, name: str, event: BreakerEvent) -> Awaitable[object] | None:
    _inside.set(True)
    return listener(name, event)


async def _after(previous: asyncio.Task[None] | None, work: Coroutine[Any, Any, None]) -> None:
    if previous is not None and not previous.done():
        await asyncio.wait({previous})
    await work


async def _in_time(work: Coroutine[Any, Any, None]) -> None:
    await asyncio.wait_for(work, PATIENCE)


async def _guarded(name: str, awaitable: Awaitable[object]) -> None:
    try:
        await awaitable
    except Exception as error:  # noqa: BLE001 - a broken listener changes nothing
        _log.error("circuit_breaker.callback_failed name=%s error=%s", name, error, exc_info=True)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    # None in threads without a loop; asyncio.get_running_loop would raise instead.
    return asyncio._get_running_loop()
