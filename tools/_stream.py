"""A run as an asynchronous iterator: its events as they come, and its end."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from ._process import end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from ._listeners import Listener
    from ._queue import Queued

__all__ = ["Buffer", "EventStream"]

EventT = TypeVar("EventT")
EndT = TypeVar("EndT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class EventStream(Generic[EventT, EndT, ResultT_co]):
    """What happens in one run, for `async for`; the last thing is what the run came to.

    Nothing is started before the first event is asked for. Leaving early (closing it, the end of
    `async with`, cancellation) stops the run and leaves no process. `break` alone does the same as soon
    as nobody holds the stream any more.

    At most `size` events wait to be taken: who is slower than the tool holds the tool up, whose time
    limit goes on. Only an event that a later one supersedes (a percentage) is dropped instead.
    """

    def __init__(
        self,
        start: Callable[[Listener[EventT]], Coroutine[object, object, EndT]],
        found: Callable[[], ResultT_co | None],
        *,
        size: int,
        supersedes: Callable[[EventT, EventT], bool],
    ) -> None:
        self._found = found
        # The generator does not hold this object: it ends when the last reference to either is gone.
        buffer: Buffer[EventT] = Buffer(size, supersedes)
        events = _events(start, buffer)
        self._events = events

    @property
    def result(self) -> ResultT_co | None:
        """What was found, however the run ended; None while it goes on and when nothing was run."""
        return self._found()

    def __aiter__(self) -> AsyncGenerator[EventT | Queued | EndT]:
        """The events; there is one iterator, and it goes through them once."""
        return self._events

    async def aclose(self) -> None:
        """Stop the run, if it still goes on, and wait until its process is gone."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.aclose()


async def _events(
    start: Callable[[Listener[EventT]], Coroutine[object, object, EndT]], buffer: Buffer[EventT]
) -> AsyncGenerator[EventT | Queued | EndT]:
    # A task of its own: a span that is current there never leaks into who follows.
    run = asyncio.create_task(start(buffer))
    run.add_done_callback(lambda _: buffer.end())
    try:
        while (event := await buffer.take()) is not None:
            yield event
        yield await run
    finally:
        await end(run)


class Buffer(Generic[EventT]):
    """Events between a run and who follows it: a listener of limited size."""

    def __init__(self, size: int, supersedes: Callable[[EventT, EventT], bool]) -> None:
        self._size = size
        self._supersedes = supersedes
        self._waiting: deque[EventT | Queued] = deque()
        self._droppable: dict[type, EventT] = {}
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False

    def queued(self, queued: Queued, /) -> None:
        """Pass it on."""
        self._append(queued)

    def event(self, event: EventT, /) -> None:
        """Pass it on; one that it supersedes and nobody took yet is dropped."""
        if self._supersedes(event, event):
            earlier = self._droppable.get(type(event))
            if earlier is not None and self._supersedes(event, earlier) and earlier in self._waiting:
                self._waiting.remove(earlier)
            self._droppable[type(event)] = event
        self._append(event)

    async def ready(self) -> None:
        """When there is room again."""
        await self._room.wait()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._filled.set()

    async def take(self) -> EventT | Queued | None:
        """The next event; waits for one. None at the end."""
        await self._filled.wait()
        if not self._waiting:
            return None
        event = self._waiting.popleft()
        if not self._waiting and not self._ended:
            self._filled.clear()
        if len(self._waiting) < self._size:
            self._room.set()
        return event

    def _append(self, event: EventT | Queued) -> None:
        self._waiting.append(event)
        self._filled.set()
        if len(self._waiting) >= self._size:
            self._room.clear()
