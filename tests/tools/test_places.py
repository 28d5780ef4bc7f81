"""Places for tasks, of one event loop and of several."""

from __future__ import annotations

import asyncio
import pickle
import threading

import pytest

from support.polling import until
from tracefuse.tools import Places, QueueFullError, QueueLimits


async def test_no_more_than_the_limit_run_and_all_come_to_their_turn() -> None:
    places, running, most = Places(QueueLimits(total=3, per_tool=2)), 0, 0

    async def work(caller: int) -> None:
        nonlocal running, most
        async with places.take("nmap", caller % 5):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    async with asyncio.timeout(10):
        await asyncio.gather(*(work(caller) for caller in range(100)))
    assert most == 2
    assert (places.running, places.waiting) == (0, 0)


async def test_a_full_queue_refuses() -> None:
    places = Places(QueueLimits(per_tool=1, length=1))
    async with places.take("nmap", "ann"):
        waiting = asyncio.create_task(_hold(places))
        await until(lambda: places.waiting)
        with pytest.raises(QueueFullError, match="1 request waits already"):
            async with places.take("nmap", "bob"):
                pass
    await waiting


async def _hold(places: Places) -> None:
    async with places.take("nmap", "ann"):
        pass


async def test_a_place_goes_to_the_next_when_its_owner_is_cancelled_before_it_began() -> None:
    places = Places(QueueLimits(per_tool=1))
    async with places.take("nmap", "ann"):
        tasks = [asyncio.create_task(_hold(places)) for _ in range(3)]
        await until(lambda: places.waiting == 3)
    # The first has its place now, but did not run yet.
    tasks[0].cancel()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert (places.running, places.waiting) == (0, 0)


def test_threads_with_loops_of_their_own_share_the_places() -> None:
    places, lock, running, most = Places(QueueLimits(total=2)), threading.Lock(), 0, 0

    async def work() -> None:
        nonlocal running, most
        async with places.take("nmap", threading.get_ident()):
            with lock:
                running += 1
                most = max(most, running)
            await asyncio.sleep(0.001)
            with lock:
                running -= 1

    async def several() -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(work() for _ in range(10)))

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
    assert (places.running, places.waiting) == (0, 0)


def test_the_refusal_can_be_pickled() -> None:
    refusal = pickle.loads(pickle.dumps(QueueFullError(7, 2.5)))
    assert (refusal.waiting, refusal.retry_after, refusal.error_type) == (7, 2.5, "resource_exhausted")
    assert (
        str(refusal)
        == "7 requests wait already, and no more are taken; try again in 2.5 s, or raise TRACEFUSE_QUEUE_LENGTH"
    )
