"""The lifecycle: order, time limits, and parts that fail."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tracefuse.tools.service._lifecycle import Lifecycle


def told(log: list[str], what: str) -> object:
    log.append(what)
    return None


async def test_parts_stop_in_the_opposite_order() -> None:
    log: list[str] = []
    lifecycle = Lifecycle()

    async def end() -> None:
        log.append("b ends")

    lifecycle.add("a", lambda: told(log, "a ends"))
    lifecycle.add("b", end)
    report = await lifecycle.stop()
    assert log == ["b ends", "a ends"]
    assert report.clean
    assert [part.name for part in report.parts] == ["b", "a"]


async def test_a_part_that_fails_to_stop_does_not_keep_the_others() -> None:
    log: list[str] = []
    lifecycle = Lifecycle()

    def broken() -> None:
        raise OSError("disk is gone")

    lifecycle.add("first", lambda: told(log, "first ends"))
    lifecycle.add("broken", broken)
    report = await lifecycle.stop()
    assert log == ["first ends"]
    assert not report.clean
    assert str(report) == "broken: OSError: disk is gone"


@pytest.mark.parametrize("kind", ["coroutine", "thread"])
async def test_a_part_that_hangs_is_left_after_its_time(kind: str) -> None:
    log: list[str] = []
    released = threading.Event()
    lifecycle = Lifecycle()

    async def hang() -> None:
        await asyncio.Event().wait()

    lifecycle.add("first", lambda: told(log, "first ends"))
    lifecycle.add("hanging", hang if kind == "coroutine" else lambda: released.wait(60), timeout=0.05)
    report = await lifecycle.stop()
    released.set()
    assert log == ["first ends"]
    assert str(report) == "hanging: did not stop within 0.05 s"


async def test_stopping_twice_stops_once() -> None:
    log: list[str] = []
    lifecycle = Lifecycle()
    lifecycle.add("part", lambda: told(log, "ends"))
    first, second = await asyncio.gather(lifecycle.stop(), lifecycle.stop())
    assert (first, log) == (second, ["ends"])


async def test_a_stop_goes_on_when_who_waits_for_it_is_cancelled() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    log: list[str] = []
    lifecycle = Lifecycle()

    async def slow() -> None:
        entered.set()
        await leave.wait()
        log.append("ended")

    lifecycle.add("slow", slow)
    waiting = asyncio.create_task(lifecycle.stop())
    await entered.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    leave.set()
    assert (await lifecycle.stop()).clean
    assert log == ["ended"]
