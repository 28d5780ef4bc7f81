"""Threads, event loops and forks at once: every call is counted exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import threading
from collections import Counter

import pytest

from tracefuse.resilience import BreakerConfig, CircuitBreaker, CircuitBreakerOpenError
from tracefuse.resilience.testing import Recorder

ROUNDS = 4000


@pytest.fixture(autouse=True)
def hasty_switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Hammer:
    """Workers that call one breaker in every way and keep their own account."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self.accounts: list[Counter[str]] = []
        self.errors: list[BaseException] = []

    def account(self) -> Counter[str]:
        self.accounts.append(Counter())
        return self.accounts[-1]

    @property
    def total(self) -> Counter[str]:
        return sum(self.accounts, Counter())

    def in_thread(self, seed: int) -> None:
        account, dice = self.account(), random.Random(seed)

        def work() -> None:
            if dice.random() < 0.3:
                account["failure"] += 1
                raise OSError
            account["success"] += 1

        for _ in range(ROUNDS):
            try:
                if dice.random() < 0.5:
                    self.breaker.call_sync(work)
                else:
                    with self.breaker.permit():
                        work()
            except CircuitBreakerOpenError:
                account["rejected"] += 1
            except OSError:
                pass

    def in_loop(self, seed: int) -> None:
        account, dice = self.account(), random.Random(seed)

        async def work() -> None:
            await asyncio.sleep(0)
            if dice.random() < 0.3:
                account["failure"] += 1
                raise OSError
            account["success"] += 1

        async def client() -> None:
            for _ in range(ROUNDS // 10):
                try:
                    await self.breaker.call(work)
                except CircuitBreakerOpenError:
                    account["rejected"] += 1
                except OSError:
                    pass

        async def clients() -> None:
            await asyncio.gather(*(client() for _ in range(10)))

        asyncio.run(clients())

    def run(self, workers: int) -> None:
        def guarded(target, seed: int) -> None:
            try:
                target(seed)
            except BaseException as error:  # noqa: BLE001
                self.errors.append(error)

        jobs = [(self.in_thread, seed) for seed in range(workers)] + [(self.in_loop, seed) for seed in range(2)]
        threads = [threading.Thread(target=guarded, args=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert self.errors == []


def test_every_call_is_counted_exactly_once() -> None:
    recorder = Recorder()
    breaker = CircuitBreaker.from_config("stress", _config(), listeners=[recorder])
    hammer = Hammer(breaker)
    hammer.run(4)
    counts, stats = hammer.total, breaker.stats
    assert stats.successful_calls == counts["success"]
    assert stats.failed_calls == counts["failure"]
    assert stats.rejected_calls == counts["rejected"]
    assert stats.total_calls == counts["success"] + counts["failure"]
    assert sum(counts.values()) == 4 * ROUNDS + 2 * (ROUNDS // 10 * 10)
    generations = [event.generation for event in recorder.transitions]
    assert generations == sorted(set(generations)), "listeners hear of transitions in their order"
    assert len(generations) == stats.state_changes
    assert counts["rejected"] > 0
    assert len(generations) > 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_children_forked_in_the_middle_can_use_the_breaker() -> None:
    breaker = CircuitBreaker.from_config("stress", _config())
    hammer, enough = Hammer(breaker), threading.Event()

    def work() -> None:
        while not enough.is_set():
            hammer.run(2)

    busy = threading.Thread(target=work)
    busy.start()
    failed = []
    for _ in range(10):
        child = os.fork()
        if child == 0:
            # The child lives by the breaker alone and dies by alarm if a lock is stuck.
            signal.alarm(10)
            code = 1
            try:
                for _ in range(20):
                    with contextlib.suppress(CircuitBreakerOpenError):
                        breaker.call_sync(int)
                code = 0 if breaker.get_stats() else 1
            finally:
                os._exit(code)
        failed.append(os.waitpid(child, 0)[1])
    enough.set()
    busy.join(60)
    assert failed == [0] * 10
    counts = hammer.total
    assert breaker.stats.total_calls == counts["success"] + counts["failure"]


def _config():
    return BreakerConfig(
        failure_threshold=2, recovery_timeout=0.0005, max_timeout=0.001, half_open_max_calls=2, success_threshold=2
    )
