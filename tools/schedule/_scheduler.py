"""Starts the scans of the schedules when they are due: one task in an event loop, and one for each run."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tracefuse.telemetry import Attribute, Event, Instrumentation, SeverityNumber, emit_event

from .._explain import explain
from .._process import end
from .._tool import Caller, CallerKind
from ._schedule import decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..jobs._jobs import Jobs
    from ._schedule import Schedule
    from ._store import ScheduleRecord, ScheduleStore

__all__ = ["Scheduler"]

_log = logging.getLogger(__name__)

_LOOK: Final = 1.0
"""Seconds after which it looks again at the latest: other processes change schedules, and clocks are set."""


class Scheduler:
    """Runs what is due, until it is stopped.

    A run that is due while the one before it is not over is left out, unless its schedule allows the
    overlap. At most `concurrency` runs are under way at once; they also wait for a place among all
    scans, like any other. Several processes may serve one store: each slot is run by one of them.

    Args:
        store: where the schedules are.
        jobs: what runs scans.
        concurrency: runs at once.
        grace: seconds by which a run may be late before it counts as missed.
        clock: the wall clock, with a zone.
        instrumentation: where runs are counted.
    """

    def __init__(
        self,
        store: ScheduleStore,
        jobs: Jobs,
        *,
        concurrency: int = 2,
        grace: float = 60.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        instrumentation: Instrumentation | None = None,
    ) -> None:
        instrumentation = instrumentation or Instrumentation.from_providers()
        self._store = store
        self._jobs = jobs
        self._grace = grace
        self._clock = clock
        self._places = asyncio.Semaphore(concurrency)
        self._runs: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._loop: asyncio.Task[None] | None = None
        self._resting = False
        self._logger = instrumentation.logger
        self._counter = instrumentation.counter("tracefuse.schedule.runs")

    def start(self) -> None:
        """Begin to look after the schedules."""
        self._loop = asyncio.create_task(self._look_after(), name="tracefuse-scheduler")

    async def rest(self) -> None:
        """Start nothing more; what runs goes on."""
        self._resting = True
        if self._loop is not None:
            await end(self._loop)

    async def stop(self) -> None:
        """Rest, and wait until what runs has ended; closing the jobs makes it end."""
        await self.rest()
        await asyncio.gather(*(task for tasks in self._runs.values() for task in tasks))

    async def _look_after(self) -> None:
        troubled = False
        while True:
            wait = _LOOK
            try:
                wait = await self.look()
                troubled = False
            except Exception as error:  # noqa: BLE001 - a store that fails now may work in a moment
                if not troubled:
                    _log.warning("schedule.store_failed %s", error)
                troubled = True
            await asyncio.sleep(min(wait, _LOOK))

    async def look(self) -> float:
        """Start what is due now; return in how many seconds the next run is."""
        records = await asyncio.to_thread(self._store.all)
        again = [await self._consider(record) for record in records if not record.schedule.paused]
        return max(0.0, min(((when - self._clock()).total_seconds() for when in again), default=_LOOK))

    async def _consider(self, record: ScheduleRecord) -> datetime:
        schedule = record.schedule
        decision = decide(schedule, record.last_slot, self._clock(), grace=self._grace)
        if decision.slot is None or not await asyncio.to_thread(self._store.claim, record, decision.slot):
            return decision.again
        if decision.missed:
            self._left_out(schedule, Event.SCHEDULE_MISSED, "missed", decision.missed)
        if decision.run and self._runs[schedule.name] and not schedule.overlap:
            self._left_out(schedule, Event.SCHEDULE_SKIPPED, "overlap", 1)
        elif decision.run:
            task = asyncio.create_task(self._run(schedule), name=f"tracefuse-schedule-{schedule.name}")
            self._runs[schedule.name].add(task)
            task.add_done_callback(self._runs[schedule.name].discard)
        return decision.again

    def _left_out(self, schedule: Schedule, event: str, outcome: str, count: int) -> None:
        self._counter.add(count, {Attribute.RESULT: outcome})
        attributes: dict[str, str | int] = {Attribute.NAME: schedule.name, Attribute.COUNT: count}
        emit_event(self._logger, event, attributes, severity=SeverityNumber.WARN)
        _log.warning("%s schedule=%s count=%d", event, schedule.name, count)

    async def _run(self, schedule: Schedule) -> None:
        async with self._places:
            if self._resting:
                return
            try:
                state, error = await self._scan(schedule)
            except Exception as raised:  # noqa: BLE001 - told, and tried again at the next slot
                explained = explain(raised)
                state, error = ("failed", repr(raised)) if explained is None else ("refused", explained.line)
                _log.log(
                    logging.ERROR if explained is None else logging.WARNING,
                    "schedule.not_started schedule=%s %s",
                    schedule.name,
                    error,
                    exc_info=explained is None,
                )
            self._counter.add(1, {Attribute.RESULT: state})
            await asyncio.to_thread(self._store.ended, schedule.name, state, error)

    async def _scan(self, schedule: Schedule) -> tuple[str, str | None]:
        caller = Caller(CallerKind.SCHEDULE, schedule.name)
        job = await self._jobs.start(schedule.request, caller, schedule=schedule.name)
        await asyncio.to_thread(self._store.began, schedule.name, job.scan_id)
        job = await self._jobs.wait(job.scan_id, None)
        return str(job.state), None if job.error is None else str(job.error.get("message", ""))
