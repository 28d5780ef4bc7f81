"""Server-sent events: what happens, as it happens, for any number of readers who hold up nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.http_service import SCAN, Face, serving_in_process
from support.mcp_service import hanging_nmap, quick_nmap
from support.polling import until
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools.http._events import EventFace, Hub, sse


def parsed(chunk: bytes) -> tuple[str, Any] | None:
    """The name and the data of an event; None for a sign of life."""
    if chunk.startswith(b":"):
        return None
    name, data = chunk.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


@pytest.fixture
async def face(tmp_path: Path, memory: InMemoryTelemetry) -> AsyncIterator[Face]:
    async with serving_in_process(tmp_path, hanging_nmap(tmp_path), memory) as running:
        yield running


def events_of(face: Face, every: float = 60.0) -> EventFace:
    """The streams, with readers that are told of everything in the service."""
    hub = Hub(asyncio.get_running_loop())
    face.service.jobs.add_listener(hub.job)
    face.service.app.breaker.add_callback(hub.breaker)
    return EventFace(face.service, hub, every)


async def next_of(stream: AsyncIterator[bytes], name: str) -> Any:
    """The data of the next event of this name."""
    async with asyncio.timeout(20):
        async for chunk in stream:
            found = parsed(chunk)
            if found is not None and found[0] == name:
                return found[1]
    raise AssertionError(f"the stream ended without {name}")


async def stream(face: Face, path: str) -> tuple[asyncio.Task[None], asyncio.Queue[dict[str, Any]]]:
    """A request to a stream: its task, and what it sends."""
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8080")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    begun = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if begun:
            return begun.pop()
        await asyncio.Event().wait()
        raise AssertionError

    return asyncio.create_task(face.app(scope, receive, sent.put)), sent


async def test_health_and_metrics_come_at_once_then_what_changes(face: Face) -> None:
    task, sent = await stream(face, "/events")
    start = await sent.get()
    assert dict(start["headers"])[b"content-type"] == b"text/event-stream; charset=utf-8"

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            message = await sent.get()
            if message.get("body"):
                yield message["body"]

    following = chunks()
    assert (await next_of(following, "health"))["status"] == "healthy"
    assert isinstance(await next_of(following, "metrics"), dict)
    await face.client.post("/scans", json={**SCAN, "wait": False})
    assert (await next_of(following, "scan"))["state"] == "running"
    await face.client.post("/breakers/nmap/open")
    assert await next_of(following, "breaker") == {"name": "nmap", "from_state": "CLOSED", "to_state": "OPEN"}
    face.service.stopping.set()
    await asyncio.wait_for(task, 10)


async def test_health_is_told_again_and_again(face: Face) -> None:
    following = events_of(face, every=0.01)._everything()
    for _ in range(3):
        assert (await next_of(following, "health"))["transport"] == "http"
    await following.aclose()


async def test_a_scan_is_followed_to_its_end(face: Face, tmp_path: Path) -> None:
    where = (await face.client.post("/scans", json={**SCAN, "wait": False})).headers["location"]
    task, sent = await stream(face, f"{where}/events")
    await until((tmp_path / "pid").exists)
    await until(lambda: sent.qsize() >= 3)
    await face.client.delete(where)
    await asyncio.wait_for(task, 10)
    bodies = [message["body"] for message in (sent.get_nowait() for _ in range(sent.qsize())) if message.get("body")]
    told = [event for event in map(parsed, bodies) if event is not None]
    assert told[0][0] == "scan"
    assert (told[-1][0], told[-1][1]["state"]) == ("scan", "cancelled")
    assert {"progress", "host"} <= {name for name, _ in told}


async def test_a_scan_that_has_ended_is_told_once(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory) as face:
        scan_id = (await face.scan()).json()["scan_id"]
        answer = await face.client.get(f"/scans/{scan_id}/events")
        assert answer.headers["content-type"].startswith("text/event-stream")
        (event,) = [parsed(chunk + b"\n\n") for chunk in answer.content.split(b"\n\n") if chunk]
        assert event is not None
        assert (event[0], event[1]["state"]) == ("scan", "completed")


async def test_silence_is_filled_with_signs_of_life(face: Face) -> None:
    async def silent() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    guarded = events_of(face, every=0.01)._until_stopped(silent())  # type: ignore[arg-type]
    assert parsed(await anext(guarded)) is None
    face.service.stopping.set()
    assert [chunk async for chunk in guarded] == []


async def test_a_slow_reader_loses_the_oldest_and_holds_up_nobody() -> None:
    hub = Hub(asyncio.get_running_loop())
    with hub.reader() as slow, hub.reader() as quick:
        for number in range(1_000):
            hub.publish(sse("n", number))
            assert await quick.take(1.0) == sse("n", number)
        assert await slow.take(1.0) == sse("n", 744)
        assert await quick.take(0.001) is None


async def test_a_breaker_may_change_in_any_thread() -> None:
    from tracefuse.resilience import CircuitBreakerState

    hub = Hub(asyncio.get_running_loop())
    with hub.reader() as reader:
        await asyncio.to_thread(hub.breaker, CircuitBreakerState.CLOSED, CircuitBreakerState.OPEN, "nmap")
        assert parsed(await reader.take(5.0) or b"") == (
            "breaker",
            {"name": "nmap", "from_state": "CLOSED", "to_state": "OPEN"},
        )
