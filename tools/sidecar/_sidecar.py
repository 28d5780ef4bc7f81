"""The collector as a child beside the service: started, watched, restarted, stopped last.

Start it before what sends to it, and stop it after that has flushed: first in a `Lifecycle`, which ends
in the opposite order. Nothing waits for it: a service whose collector is away goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random as random_module
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tracefuse.telemetry import HealthCheckResult, HealthStatus

from .._local import spawn as spawn_here
from .._process import Command
from ._check import choose_plan, ending, probe
from ._plan import CollectorFailedError
from ._watch import Life, SidecarState, SidecarStatus, next_start

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .._process import Child, Spawn
    from ._plan import SidecarPlan

__all__ = ["Sidecar", "SidecarTiming", "log_status", "sidecar_check"]

_log = logging.getLogger(__name__)

_REST: Final = 0.2
"""Seconds for the last of the output: once the child is gone, reading it does not wait."""
_HANGS: Final = "it does not answer its health check"
_TAKEN: Final = "another program, perhaps a collector, answers health checks at {}:{}; OTELCOL_HEALTH moves this one"
_LEVELS: Final = {SidecarState.WAITING: logging.WARNING, SidecarState.FAILED: logging.ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarTiming:
    """Seconds, but for `misses`.

    Attributes:
        ready: how long `start` waits for the first good health; the service goes on without it then.
        grace: what the collector gets to empty or store its queues before it is killed.
        poll: between two looks at a collector that starts.
        interval: between two looks at one that runs.
        answer: what one look may take.
        misses: looks in a row without an answer after which it counts as hanging and is replaced.
    """

    ready: float = 10.0
    grace: float = 10.0
    poll: float = 0.1
    interval: float = 5.0
    answer: float = 2.0
    misses: int = 3


def log_status(status: SidecarStatus) -> None:
    """Say a change of state in one line of the log."""
    _log.log(_LEVELS.get(status.state, logging.INFO), "sidecar: %s", status.line)


def write_through(data: bytes) -> None:
    """Pass what the collector logs to standard error, as it is.

    Not to the log: that may be sent to the collector, which would log that it failed to deliver it.
    """
    # Nobody may be listening any more; that is no reason to end the collector.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()


class Sidecar:
    """A collector that runs as long as this does.

    Args:
        plans: what may be run, the best first; see `plan_sidecar`.
        timing: its periods.
        limit: give up after so many failed starts in a row without ever being healthy; None: never.
        listener: is told each change of state once, however often a start fails for the same reason.
        output: takes what the collector writes.
        spawn: starts processes.
        check_health: asks a host and port whether all is well.
        sleep: waits.
        clock: seconds, for how long it was healthy.
        random: from 0 to 1, for the spread of the waits.
    """

    def __init__(
        self,
        plans: Sequence[SidecarPlan],
        *,
        timing: SidecarTiming | None = None,
        limit: int | None = None,
        listener: Callable[[SidecarStatus], None] = log_status,
        output: Callable[[bytes], None] = write_through,
        spawn: Spawn = spawn_here,
        check_health: Callable[[str, int], Awaitable[bool]] = probe,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._plans = plans
        self._timing = timing or SidecarTiming()
        self._limit = limit
        self._listener = listener
        self._output = output
        self._spawn = spawn
        self._check_health = check_health
        self._sleep = sleep
        self._clock = clock
        self._random = random
        self._status = SidecarStatus()
        self._told: tuple[SidecarState, str] | None = None
        self._healthy_since: float | None = None
        self._healthy = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def status(self) -> SidecarStatus:
        """What it is doing now."""
        return self._status

    async def start(self) -> None:
        """Start the collector, and wait until it is healthy, or `timing.ready` seconds.

        Raises:
            CollectorConfigError: it refuses its configuration.
            CollectorFailedError: it was given up.
        """
        plan = await choose_plan(self._plans, spawn=self._spawn)
        self._status = replace(self._status, collector=str(plan.collector))
        self._task = asyncio.create_task(self._supervise(plan), name="tracefuse sidecar")
        healthy = asyncio.create_task(self._healthy.wait())
        try:
            await asyncio.wait({self._task, healthy}, timeout=self._timing.ready, return_when=asyncio.FIRST_COMPLETED)
        finally:
            healthy.cancel()
        if self._task.done():
            await self._task

    async def wait(self) -> None:
        """Wait until it has been stopped.

        Raises:
            CollectorFailedError: it was given up.
        """
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """End the collector: it empties its queues or leaves them on disk. Does nothing the second time."""
        self._stopping.set()
        if self._task is not None:
            with contextlib.suppress(CollectorFailedError):
                await self._task
        if self._status.state is not SidecarState.FAILED:
            self._now(SidecarState.STOPPED)

    async def _supervise(self, plan: SidecarPlan) -> None:
        failures = 0
        while True:
            life = await self._live(plan)
            if self._stopping.is_set():
                return
            after = next_start(
                life, failures, ever_healthy=self._healthy.is_set(), limit=self._limit, spread=self._random()
            )
            failures = after.failures
            if after.wait is None:
                self._now(SidecarState.FAILED, problem=life.problem)
                raise CollectorFailedError(f"{plan.collector} does not start", detail=life.problem)
            self._now(SidecarState.WAITING, problem=life.problem, wait=after.wait)
            await self._unless_stopped(self._sleep(after.wait))
            if self._stopping.is_set():
                return
            self._status = replace(self._status, restarts=self._status.restarts + 1)

    async def _live(self, plan: SidecarPlan) -> Life:
        """One life of the collector, from its start to its end by whatever reason."""
        self._healthy_since = None
        if await self._is_healthy(plan):
            return Life(_TAKEN.format(*plan.health), None)
        try:
            child = await self._spawn(Command(argv=plan.argv, env=plan.env))
        except OSError as error:
            return Life(error.strerror or str(error), None)
        self._now(SidecarState.STARTING, pid=child.pid, problem=self._status.problem)
        reading = asyncio.create_task(self._read(child))
        watching = asyncio.create_task(self._watch(plan))
        try:
            await self._unless_stopped(asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED))
        finally:
            watching.cancel()
            await child.stop(self._timing.grace)
            await _finished(reading)
        hung = watching.done() and not watching.cancelled()
        problem = _HANGS if hung else ending(await child.wait())
        return Life(problem, self._healthy_for())

    def _healthy_for(self) -> float | None:
        return None if self._healthy_since is None else self._clock() - self._healthy_since

    async def _read(self, child: Child) -> None:
        while (chunk := await child.read()) is not None:
            self._output(chunk.data)

    async def _watch(self, plan: SidecarPlan) -> None:
        """Return when the collector was healthy and hangs now."""
        misses = 0
        while misses < self._timing.misses:
            if await self._is_healthy(plan):
                misses = 0
                if self._healthy_since is None:
                    self._healthy_since = self._clock()
                    self._healthy.set()
                    self._now(SidecarState.RUNNING, pid=self._status.pid)
            elif self._healthy_since is not None:
                misses += 1
            await self._sleep(self._timing.poll if self._healthy_since is None else self._timing.interval)

    async def _is_healthy(self, plan: SidecarPlan) -> bool:
        try:
            async with asyncio.timeout(self._timing.answer):
                return await self._check_health(*plan.health)
        except TimeoutError:
            return False

    async def _unless_stopped(self, work: Awaitable[object]) -> None:
        """Wait for `work`, but no longer than until this is stopped."""
        waiting = {asyncio.ensure_future(work), asyncio.create_task(self._stopping.wait())}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    def _now(
        self, state: SidecarState, *, pid: int | None = None, problem: str = "", wait: float | None = None
    ) -> None:
        self._status = replace(self._status, state=state, pid=pid, problem=problem, wait=wait)
        starts_again = state is SidecarState.STARTING and self._told is not None
        if not starts_again and (state, problem) != self._told:
            self._told = (state, problem)
            try:
                self._listener(self._status)
            except Exception:  # noqa: BLE001 - telling must not end what is told
                _log.exception("sidecar: a listener failed")


def sidecar_check(sidecar: Sidecar) -> Callable[[], HealthCheckResult]:
    """A check for `HealthMonitor.add`: degraded while the collector does not run."""

    def check() -> HealthCheckResult:
        status = sidecar.status
        health = HealthStatus.HEALTHY if status.state is SidecarState.RUNNING else HealthStatus.DEGRADED
        facts = {"state": status.state.value, "pid": status.pid, "restarts": status.restarts}
        return HealthCheckResult("sidecar", health, status.line, metadata=facts)

    return check


async def _finished(task: asyncio.Task[None]) -> None:
    """Let the rest of the output be read."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REST):
            await task
