"""What happens, as it happens: server-sent events, of the service and of one scan.

The format is that of the HTML standard, https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response, StreamingResponse

from tracefuse.telemetry import MetricsManager

from .._process import end
from .._queue import Queued
from .._threads import in_thread
from ..nmap import HostFinished, PhaseBegan
from ..nmap._live_ports import PortDiscovered
from ..nmap._progress import OverallProgress
from ._health import health_of
from ._route import Answer, Endpoint
from ._scans import known_scan

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from starlette.requests import Request

    from tracefuse.resilience import CircuitBreakerState

    from ..jobs._events import JobEvent
    from ..jobs._view import JobView
    from ..service._service import Service

__all__ = ["EventFace", "Hub", "sse"]

_EVERY: Final = 5.0
"""Seconds between two reports of health and metrics, and between two signs of life."""
_WAITING: Final = 256
"""Events that wait for one reader; who is slower loses the oldest."""
_ALIVE: Final = b": alive\n\n"
_STREAM: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


def sse(event: str, data: Any) -> bytes:
    r"""One event; JSON has no line break in it.

    >>> sse("progress", {"percent": 42.0})
    b'event: progress\ndata: {"percent": 42.0}\n\n'
    """
    return f"event: {event}\ndata: {json.dumps(data, default=str)}\n\n".encode()


class Hub:
    """Passes what happens on to every reader. Changes of breakers may come from any thread.

    >>> async def main() -> None:
    ...     hub = Hub(asyncio.get_running_loop())
    ...     with hub.reader() as reader:
    ...         hub.publish(b"1")
    ...         print(await reader.take(timeout=1.0))
    >>> asyncio.run(main())
    b'1'
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: set[_Reader] = set()

    def publish(self, event: bytes) -> None:
        """Tell every reader, from within the loop."""
        for reader in self._readers:
            reader.put(event)

    def job(self, view: JobView) -> None:
        """A scan was accepted or has ended: `scan`."""
        self.publish(sse("scan", view.to_dict()))

    def breaker(self, from_state: CircuitBreakerState, to_state: CircuitBreakerState, name: str) -> None:
        """A breaker changed its state: `breaker`."""
        event = sse("breaker", {"name": name, "from_state": from_state.name, "to_state": to_state.name})
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.publish, event)

    @contextmanager
    def reader(self) -> Generator[_Reader]:
        """Read what is published during the block."""
        reader = _Reader()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)


class _Reader:
    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=_WAITING)
        self._filled = asyncio.Event()

    def put(self, event: bytes) -> None:
        self._waiting.append(event)
        self._filled.set()

    async def take(self, timeout: float) -> bytes | None:
        """The next event, or None when there was none for `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._filled.wait()
        except TimeoutError:
            return None
        event = self._waiting.popleft()
        if not self._waiting:
            self._filled.clear()
        return event


@dataclass(frozen=True, slots=True)
class EventFace:
    """The handlers, around one service."""

    service: Service
    hub: Hub
    every: float = field(default=_EVERY)

    def endpoints(self) -> list[Endpoint]:
        """The two streams."""
        stream = {200: Answer("events, until the client hangs up or the service ends", media=("text/event-stream",))}
        return [
            Endpoint(method="GET", path="/events", handle=self.all, tag="events", answers=stream, patient=True,
                     summary="Health and metrics every 5 seconds; scans and breakers as they change"),
            Endpoint(method="GET", path="/scans/{scan_id}/events", handle=self.one, tag="events", answers=stream,
                     patient=True, summary="What happens in one scan, up to its end", problems=(404,)),
        ]  # fmt: skip

    async def all(self, request: Request) -> Response:
        """`health` and `metrics` at once and every 5 seconds, `scan` and `breaker` when they change."""
        del request
        return _streaming(self._until_stopped(self._everything()))

    async def one(self, request: Request) -> Response:
        """`progress`, `phase`, `port`, `host` and `queued` as they come, and at last `scan`."""
        view = await known_scan(self.service, request)
        return _streaming(self._until_stopped(self._of(view)))

    async def _everything(self) -> AsyncGenerator[bytes]:
        with self.hub.reader() as reader:
            loop = asyncio.get_running_loop()
            while True:
                yield sse("health", health_of(await self.service.health.ready()))
                yield sse("metrics", await in_thread(MetricsManager.get().get_all_stats))
                next_report = loop.time() + self.every
                while (left := next_report - loop.time()) > 0:
                    if (event := await reader.take(left)) is not None:
                        yield event

    async def _of(self, view: JobView) -> AsyncGenerator[bytes]:
        yield sse("scan", view.to_dict())
        async with aclosing(self.service.jobs.events(view.scan_id)) as events:
            async for event in events:
                if (told := _told(event)) is not None:
                    yield told
        if not view.is_final:
            yield sse("scan", (await self.service.jobs.wait(view.scan_id, None)).to_dict())

    async def _until_stopped(self, events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """Pass `events` on until the service goes down, with a sign of life when there is nothing to say."""
        stopping = asyncio.create_task(self.service.stopping.wait())
        following: asyncio.Task[bytes] | None = None
        try:
            while not self.service.stopping.is_set():
                following = following or asyncio.ensure_future(anext(events))
                await asyncio.wait((following, stopping), timeout=self.every, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    finished, following = following, None
                    yield finished.result()
                elif not stopping.done():
                    yield _ALIVE
        except StopAsyncIteration:
            return
        finally:
            stopping.cancel()
            if following is not None:
                await end(following)
            await events.aclose()


def _streaming(events: AsyncGenerator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=_STREAM)


def _told(event: JobEvent) -> bytes | None:
    """What a follower is told of an event; None for what is of no use to him."""
    match event:
        case Queued(reason, position):
            return sse("queued", {"reason": reason.value, "position": position})
        case OverallProgress():
            return sse("progress", asdict(event))
        case PhaseBegan():
            return sse("phase", asdict(event))
        case PortDiscovered():
            return sse("port", asdict(event))
        case HostFinished(host):
            return sse("host", {"address": host.address, "state": host.state, "open_ports": len(host.open_ports)})
        case _:
            return None
