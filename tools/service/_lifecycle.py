"""Stops the parts of a service in the opposite order to that in which they began, each within its time."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lifecycle", "StopReport", "StoppedPart"]

_log = logging.getLogger(__name__)

Act: TypeAlias = "Callable[[], object]"


@dataclass(frozen=True, slots=True)
class StoppedPart:
    """How one part ended: its name, the seconds it took, and what went wrong, if anything did."""

    name: str
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StopReport:
    """How all parts ended, in the order in which they were stopped."""

    parts: tuple[StoppedPart, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether every part ended in time and without an error."""
        return all(part.error is None for part in self.parts)

    def __str__(self) -> str:
        return "; ".join(f"{part.name}: {part.error}" for part in self.parts if part.error) or "everything was stopped"


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    stop: Act
    timeout: float


class Lifecycle:
    """The one place that knows what runs, and in which order it goes down.

    It is told of each part once that part runs, so that what failed to come up is never stopped. A
    part's `stop` is a function or a coroutine function. A plain one runs on a daemon thread, because it
    may block, and one that hangs must hold up neither the others nor the exit.

    >>> done = []
    >>> lifecycle = Lifecycle()
    >>> lifecycle.add("store", lambda: done.append("close"))
    >>> lifecycle.add("face", lambda: done.append("hang up"))
    >>> asyncio.run(lifecycle.stop()).clean, done
    (True, ['hang up', 'close'])
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running: list[_Part] = []
        self._stopping: asyncio.Task[StopReport] | None = None

    def add(self, name: str, stop: Act, *, timeout: float = 5.0) -> None:
        """Add a part that runs now; `timeout` is the seconds that its `stop` may take."""
        self._running.append(_Part(name, stop, timeout))

    async def stop(self) -> StopReport:
        """Stop what runs, the last part first; what one of them raises or keeps waiting is reported, not raised.

        Further calls, also at the same time, get the same report.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        return await asyncio.shield(self._stopping)

    async def _stop(self) -> StopReport:
        ended: list[StoppedPart] = []
        while self._running:
            ended.append(await self._end(self._running.pop()))
        return StopReport(tuple(ended))

    async def _end(self, part: _Part) -> StoppedPart:
        began, error = self._clock(), None
        try:
            await asyncio.wait_for(_stopped(part), part.timeout)
        except TimeoutError:
            error = f"did not stop within {part.timeout:g} s"
        except Exception as raised:  # noqa: BLE001 - the other parts still have to be stopped
            error = f"{type(raised).__qualname__}: {raised}"
        if error is not None:
            _log.warning("lifecycle.stop_failed part=%s %s", part.name, error)
        return StoppedPart(part.name, self._clock() - began, error)


async def _stopped(part: _Part) -> None:
    if inspect.iscoroutinefunction(part.stop):
        await part.stop()
    else:
        await _on_daemon_thread(part)


async def _on_daemon_thread(part: _Part) -> None:
    """Run its `stop` where it blocks nobody; `asyncio.to_thread` would be waited for when the loop ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: Exception | None = None
        try:
            part.stop()
        except Exception as raised:  # noqa: BLE001 - handed to who waits
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, name=f"tracefuse-stop-{part.name}", daemon=True).start()
    await done
