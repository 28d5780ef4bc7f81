"""The scheduler: what it starts, what it leaves out, and who may."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.polling import until
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import PolicyViolation, ScanRequest, Settings, build
from tracefuse.tools.schedule._schedule import Cron, Every, Missed, Schedule, ScheduleError
from tracefuse.tools.schedule._scheduler import Scheduler
from tracefuse.tools.schedule._store import ScheduleStore, ScheduleStoreError
from tracefuse.tools.schedule._view import coming, view_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LAB = ScanRequest("127.0.0.1", template="quick", exclude=("127.0.0.9",), timeout=30.0)
HOURLY = Schedule("lab", LAB, Every(3600))


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **step: float) -> None:
        self.now += timedelta(**step)


@dataclass
class Job:
    scan_id: str
    state: str = "running"
    error: dict[str, Any] | None = None


@dataclass
class Jobs:
    """Scans that run until the test lets them end."""

    refuse: Exception | None = None
    started: list[tuple[ScanRequest, Any, str]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    end: asyncio.Event = field(default_factory=asyncio.Event)
    result: Job = field(default_factory=lambda: Job("scan", "completed"))

    async def start(self, request: ScanRequest, caller: Any, *, schedule: str) -> Job:
        if self.refuse is not None:
            raise self.refuse
        self.started.append((request, caller, schedule))
        return Job(f"scan{len(self.started)}")

    async def wait(self, scan_id: str, timeout: float | None) -> Job:
        assert timeout is None
        await self.end.wait()
        return replace(self.result, scan_id=scan_id)

    async def cancel(self, scan_id: str) -> bool:
        self.cancelled.append(scan_id)
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[ScheduleStore]:
    with closing(ScheduleStore(tmp_path / "schedules.sqlite3", clock=clock)) as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[InMemoryTelemetry]:
    with InMemoryTelemetry() as held:
        yield held


def scheduler(store: ScheduleStore, jobs: Jobs, clock: Clock, memory: InMemoryTelemetry, **more: Any) -> Scheduler:
    return Scheduler(store, jobs, clock=clock, instrumentation=memory.telemetry.instrumentation, **more)  # type: ignore[arg-type]


async def end(tested: Scheduler, jobs: Jobs) -> None:
    jobs.end.set()
    await tested.stop()


def last(store: ScheduleStore, name: str = "lab") -> tuple[str | None, str | None, str | None]:
    record = store.get(name)
    assert record is not None
    return record.last_scan, record.last_state, record.last_error


async def test_a_run_starts_when_it_is_due_and_not_before(
    store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry
) -> None:
    jobs = Jobs()
    tested = scheduler(store, jobs, clock, memory)
    store.add(HOURLY)
    clock.pass_(minutes=59)
    assert await tested.look() == 60
    assert jobs.started == []
    clock.pass_(minutes=1)
    assert await tested.look() == 3600
    await until(lambda: jobs.started)
    request, caller, name = jobs.started[0]
    assert (request, caller.kind, caller.name, name) == (LAB, "schedule", "lab", "lab")
    await until(lambda: last(store)[1])
    assert last(store) == ("scan1", "running", None)
    jobs.end.set()
    await until(lambda: last(store)[1] == "completed")
    assert memory.metric("tracefuse.schedule.runs", result="completed") == 1


async def test_a_run_is_left_out_while_the_one_before_it_is_not_over(
    store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry
) -> None:
    jobs = Jobs()
    tested = scheduler(store, jobs, clock, memory)
    store.add(HOURLY)
    for _ in range(3):
        clock.pass_(hours=1)
        await tested.look()
        await until(lambda: jobs.started)
    assert len(jobs.started) == 1
    assert memory.metric("tracefuse.schedule.runs", result="overlap") == 2
    await end(tested, jobs)


async def test_runs_may_overlap_where_the_schedule_says_so(
    store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry
) -> None:
    jobs = Jobs()
    tested = scheduler(store, jobs, clock, memory)
    store.add(replace(HOURLY, overlap=True))
    for count in (1, 2):
        clock.pass_(hours=1)
        await tested.look()
        await until(lambda count=count: len(jobs.started) == count)  # type: ignore[misc]
    await end(tested, jobs)


async def test_only_so_many_run_at_once(store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry) -> None:
    jobs = Jobs()
    tested = scheduler(store, jobs, clock, memory, concurrency=2)
    for number in range(5):
        store.add(replace(HOURLY, name=f"lab{number}"))
    clock.pass_(hours=1)
    await tested.look()
    await until(lambda: len(jobs.started) == 2)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(jobs.started) == 2
    jobs.end.set()
    await until(lambda: len(jobs.started) == 5)
    await until(lambda: all(record.last_state == "completed" for record in store.all()))


@pytest.mark.parametrize(("missed", "runs"), [(Missed.SKIP, 0), (Missed.RUN_ONCE, 1)])
async def test_what_was_missed_is_told_and_made_up_for_by_policy(
    store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry, missed: Missed, runs: int
) -> None:
    jobs = Jobs()
    jobs.end.set()
    tested = scheduler(store, jobs, clock, memory)
    store.add(replace(HOURLY, missed=missed))
    clock.pass_(hours=5, minutes=30)
    assert await tested.look() == 1800
    await until(lambda: len(jobs.started) == runs)
    assert memory.metric("tracefuse.schedule.runs", result="missed") == 5 - runs
    assert await tested.look() == 1800
    assert len(jobs.started) == runs
    await end(tested, jobs)


async def test_what_the_policy_refuses_is_told_and_tried_again_next_time(
    store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry
) -> None:
    with pytest.raises(PolicyViolation) as refusal:
        build(Settings()).tool.plan(ScanRequest("8.8.8.8"))
    jobs = Jobs(refuse=refusal.value)
    tested = scheduler(store, jobs, clock, memory)
    store.add(HOURLY)
    clock.pass_(hours=1)
    await tested.look()
    await until(lambda: last(store)[1] == "refused")
    assert "8.8.8.8" in str(last(store)[2])
    jobs.refuse = None
    clock.pass_(hours=1)
    await tested.look()
    await until(lambda: jobs.started)
    await end(tested, jobs)


async def test_a_scheduler_that_rests_starts_nothing_and_lets_what_runs_end(
    store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry
) -> None:
    jobs = Jobs()
    tested = scheduler(store, jobs, clock, memory, concurrency=1)
    store.add(HOURLY)
    store.add(replace(HOURLY, name="waits"))
    clock.pass_(hours=1)
    tested.start()
    await until(lambda: last(store)[1] == "running")
    await tested.rest()
    stopped = asyncio.create_task(tested.stop())
    await asyncio.sleep(0)
    assert not stopped.done()
    jobs.end.set()
    await stopped
    assert [name for _, _, name in jobs.started] == ["lab"]
    assert last(store) == ("scan1", "completed", None)


async def test_of_two_services_one_runs_a_slot(store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry) -> None:
    jobs = Jobs()
    jobs.end.set()
    both = [scheduler(store, jobs, clock, memory) for _ in range(2)]
    store.add(HOURLY)
    for hour in range(1, 11):
        clock.pass_(hours=1)
        await asyncio.gather(*(one.look() for one in both))
        await until(lambda hour=hour: last(store)[:2] == (f"scan{hour}", "completed"))  # type: ignore[misc]
    assert len(jobs.started) == 10


async def test_a_clock_that_is_set_back_an_hour_runs_nothing_twice(
    store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry
) -> None:
    jobs = Jobs()
    jobs.end.set()
    tested = scheduler(store, jobs, clock, memory)
    store.add(HOURLY)
    clock.pass_(hours=1)
    await tested.look()
    await until(lambda: last(store)[1] == "completed")
    clock.pass_(hours=-1)
    assert await tested.look() == 7200
    assert len(jobs.started) == 1


async def test_a_paused_schedule_rests_and_has_missed_nothing_afterwards(
    store: ScheduleStore, clock: Clock, memory: InMemoryTelemetry
) -> None:
    jobs = Jobs()
    tested = scheduler(store, jobs, clock, memory)
    store.add(replace(HOURLY, missed=Missed.RUN_ONCE))
    assert store.pause("lab")
    clock.pass_(hours=10, minutes=30)
    await tested.look()
    assert store.resume("lab")
    assert await tested.look() == 1800
    assert jobs.started == []


def test_schedules_are_kept_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "schedules.sqlite3"
    given = [
        Schedule("a", LAB, Every(90.5), jitter=5, overlap=True, missed=Missed.RUN_ONCE, paused=True),
        Schedule("b", ScanRequest(targets=("10.0.0.0/24", "10.0.1.1")), Cron("0 3 * * *", "Europe/Berlin")),
    ]
    with closing(ScheduleStore(path)) as store:
        for schedule in given:
            store.add(schedule)
    with closing(ScheduleStore(path)) as store:
        assert [record.schedule for record in store.all()] == given
        assert store.remove("a")
        assert not store.remove("a")
        assert store.get("a") is None


def test_a_name_is_given_once(store: ScheduleStore) -> None:
    store.add(HOURLY)
    with pytest.raises(ScheduleError, match="tracefuse schedule remove lab"):
        store.add(HOURLY)


def test_schedules_of_the_file_come_and_go_with_it(store: ScheduleStore) -> None:
    store.add(replace(HOURLY, name="mine"))
    store.take_over([HOURLY, replace(HOURLY, name="mine", jitter=7), replace(HOURLY, name="other")])
    store.pause("lab")
    store.take_over([replace(HOURLY, jitter=60)])
    found = {record.schedule.name: record for record in store.all()}
    assert found.keys() == {"lab", "mine"}
    assert (found["lab"].schedule.jitter, found["lab"].schedule.paused, found["lab"].source) == (60, True, "file")
    assert (found["mine"].schedule.jitter, found["mine"].source) == (0, "command")


def test_a_file_that_is_none_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "schedules.sqlite3"
    path.write_bytes(b"not a database at all, but long enough to look like one" * 20)
    with pytest.raises(ScheduleStoreError) as caught:
        ScheduleStore(path)
    assert caught.value.path == str(path)
    assert path.read_bytes().startswith(b"not a database")


def test_a_view_tells_when_it_runs_next(store: ScheduleStore, clock: Clock) -> None:
    store.add(HOURLY)
    record = store.get("lab")
    assert record is not None
    clock.pass_(minutes=90)
    view = view_of(record, clock.now)
    assert (view["when"], view["next"], view["targets"]) == ("every 1h", "2026-01-01T14:00:00+00:00", ["127.0.0.1"])
    runs = coming(record, clock.now)
    assert [next(runs)[0].hour for _ in range(3)] == [14, 15, 16]
