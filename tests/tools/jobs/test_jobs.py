"""Scans in the background: accepted or refused at once, followed, stopped, stored, compared, and found again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.polling import until
from support.scripted import host, report, scripted_app
from tracefuse.resilience import CircuitBreakerOpenError
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import Caller, CallerKind, PolicyViolation, QueueFullError, QueueLimits, ScanRequest
from tracefuse.tools._process import Chunk
from tracefuse.tools.history._history import History, Query, ScanEnd, ScanState
from tracefuse.tools.jobs._jobs import Jobs, JobsClosedError, JobView, UnknownScanError
from tracefuse.tools.nmap import report_from_dict
from tracefuse.tools.nmap._progress import OverallProgress
from tracefuse.tools.testing import FakeProcess

ASKED = ScanRequest("10.0.0.7", "-p 1-1000")
CALLER = Caller(CallerKind.MCP, "agent/1", "ann")
ONE = report(host("10.0.0.7", 22))
TWO = report(host("10.0.0.7", 22, 443))


def hanging(*hosts: bytes) -> FakeProcess:
    return FakeProcess([report(*hosts, whole=False)], exit_code=None)


class Gated(FakeProcess):
    """Writes nothing until its gate is opened."""

    def __init__(self, *chunks: bytes, exit_code: int | None = 0) -> None:
        super().__init__(chunks, exit_code)
        self.gate = asyncio.Event()

    async def read(self) -> Chunk | None:
        await self.gate.wait()
        return await super().read()


class Stage:
    """Jobs over a scripted nmap, and what they tell."""

    def __init__(self, folder: Path, memory: InMemoryTelemetry) -> None:
        self.folder = folder
        self.memory = memory
        self.history = self.open()

    def open(self) -> History:
        return History.open(self.folder / "history.sqlite3", max_age=86_400.0, max_bytes=50_000_000)

    def jobs(self, *outcomes: FakeProcess | OSError, limits: QueueLimits | None = None) -> Jobs:
        self.app = scripted_app(self.folder, self.memory, outcomes, limits)
        self.made = Jobs(self.app, self.history, instrumentation=self.memory.telemetry.instrumentation)
        return self.made

    def stored(self) -> list[tuple[str, ScanState]]:
        return [(scan.scan_id, scan.state) for scan in self.history.find(Query()).scans]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [dict(event.attributes) for event in self.memory.events(name)]


@pytest.fixture
async def stage(tmp_path: Path, memory: InMemoryTelemetry) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, memory)
    yield stage
    await stage.made.close(0.0)
    stage.history.close()
    assert not list((tmp_path / "runs").glob("*")), "every run removes its working folder"


async def done(jobs: Jobs, request: ScanRequest = ASKED, **kwargs: Any) -> JobView:
    job = await jobs.start(request, CALLER, **kwargs)
    return await jobs.wait(job.scan_id, timeout=10)


async def test_a_scan_runs_on_after_it_was_asked_for_and_is_kept(stage: Stage) -> None:
    process = Gated(TWO)
    jobs = stage.jobs(process)
    job = await jobs.start(ASKED, CALLER, schedule="nightly")
    assert (job.state, job.caller, job.schedule) == (ScanState.RUNNING, CALLER, "nightly")
    assert (job.ended, job.error, job.percent) == (None, None, 0.0)
    assert stage.stored() == [(job.scan_id, ScanState.RUNNING)], "durable before the answer"
    process.gate.set()
    ended = await jobs.wait(job.scan_id, timeout=10)
    assert (ended.state, ended.percent, ended.hosts_up, ended.ports_open) == (ScanState.COMPLETED, 100.0, 1, 2)
    assert ended.started is not None
    assert ended.ended is not None
    assert ended.created <= ended.started <= ended.ended
    assert jobs.running == 0
    document = await jobs.result(job.scan_id)
    assert document is not None
    assert (document["schema"], document["scan_id"]) == ("tracefuse.scan/1", job.scan_id)
    assert [port.number for port in report_from_dict(document["report"]).hosts[0].open_ports] == [22, 443]
    again = await jobs.get(job.scan_id)
    assert again is not None
    assert again.to_dict() | {"phase": ""} == ended.to_dict() | {"phase": ""}


async def test_the_ids_of_job_history_and_trace_are_one_and_the_trace_hangs_below_the_caller(stage: Stage) -> None:
    jobs = stage.jobs(FakeProcess([ONE]))
    with stage.memory.telemetry.instrumentation.tracer.start_as_current_span("tools/call nmap_scan"):
        job = await jobs.start(ASKED, CALLER)
    # The caller's span has ended; the scan's goes on below it.
    ended = await jobs.wait(job.scan_id, timeout=10)
    (root,) = stage.memory.tree()
    (scan,) = root.children
    assert (root.name, scan.name, scan.attributes["tracefuse.scan.id"]) == (
        "tools/call nmap_scan",
        "nmap scan",
        job.scan_id,
    )
    assert ended.trace_id == root.trace_id == stage.history.find().scans[0].trace_id


async def test_what_changed_since_the_last_comparable_scan_is_stored_told_and_counted(stage: Stage) -> None:
    jobs = stage.jobs(FakeProcess([ONE]), FakeProcess([TWO]), FakeProcess([TWO]))
    first, second = await done(jobs), await done(jobs)
    third = await done(jobs, ScanRequest("10.0.0.7", "-p 1-1000", timeout=77.0))
    assert [(view.changes, view.compared_with) for view in (first, second, third)] == [
        (None, None),
        (1, first.scan_id),
        (0, second.scan_id),
    ]
    (change,) = stage.history.changes(second.scan_id)
    assert str(change) == "10.0.0.7: 443/tcp opened (was not open)"
    assert stage.events("scan.change") == [{"kind": "port_opened", "port": "443/tcp", "address": "10.0.0.7"}]
    assert stage.memory.metric("tracefuse.scan.changes", tool="nmap", kind="port_opened") == 1
    spans = {root.attributes["tracefuse.scan.id"]: root for root in stage.memory.tree()}
    assert "tracefuse.changes.count" not in spans[first.scan_id].attributes
    assert spans[second.scan_id].attributes["tracefuse.changes.count"] == 1
    assert [event.name for event in spans[second.scan_id].events] == ["scan.host", "scan.change"]


async def test_many_changes_leave_room_on_the_span_for_everything_else(stage: Stage) -> None:
    jobs = stage.jobs(FakeProcess([ONE]), FakeProcess([report(host("10.0.0.7", *range(22, 222)))]))
    await done(jobs)
    changed = await done(jobs)
    assert changed.changes == len(stage.events("scan.change")) == 199
    assert stage.memory.metric("tracefuse.scan.changes", tool="nmap", kind="port_opened") == 199
    scan = stage.memory.tree()[-1]
    assert [event.name for event in scan.events].count("scan.change") == 10
    assert scan.attributes["tracefuse.changes.count"] == 199


async def test_addresses_are_left_out_of_change_events_when_targets_are_redacted(stage: Stage) -> None:
    jobs = stage.jobs(FakeProcess([ONE]), FakeProcess([TWO]))
    settings = stage.app.settings
    redacted = settings.telemetry.model_copy(update={"redact_targets": True})
    object.__setattr__(stage.app.engine, "settings", settings.model_copy(update={"telemetry": redacted}))
    await done(jobs)
    await done(jobs)
    assert stage.events("scan.change") == [{"kind": "port_opened", "port": "443/tcp"}]


async def test_a_refusal_is_raised_at_once_and_kept(stage: Stage) -> None:
    jobs = stage.jobs()
    with pytest.raises(PolicyViolation) as caught:
        await jobs.start(ScanRequest("8.8.8.8"), CALLER)
    assert caught.value.rule == "target.network"
    (scan,) = stage.history.find().scans
    assert (scan.state, scan.request, scan.caller) == (ScanState.REFUSED, {"target": "8.8.8.8"}, CALLER)
    assert (scan.error or {})["rule"] == "target.network"
    assert scan.started is None
    assert stage.history.find(Query(target="8.8.8.8")).scans == (scan,)
    assert jobs.running == 0


async def test_a_refusal_is_kept_with_the_trace_of_who_asked(stage: Stage) -> None:
    jobs = stage.jobs()
    with (
        stage.memory.telemetry.instrumentation.tracer.start_as_current_span("POST /scans"),
        pytest.raises(PolicyViolation),
    ):
        await jobs.start(ScanRequest("8.8.8.8"), CALLER)
    (root,) = stage.memory.tree()
    assert stage.history.find().scans[0].trace_id == root.trace_id


async def test_a_full_queue_is_raised_at_once_and_kept(stage: Stage) -> None:
    jobs = stage.jobs(hanging(), limits=QueueLimits(total=1, per_tool=1, length=0))
    running = await jobs.start(ASKED, CALLER)
    with pytest.raises(QueueFullError):
        await jobs.start(ASKED, CALLER)
    refused, first = stage.history.find().scans
    assert (refused.state, (refused.error or {})["type"]) == (ScanState.REFUSED, "queue_full")
    assert (first.scan_id, first.state) == (running.scan_id, ScanState.RUNNING)


async def test_an_open_circuit_is_raised_at_once_and_kept(stage: Stage) -> None:
    jobs = stage.jobs()
    stage.app.breaker.force_open_nowait()
    with pytest.raises(CircuitBreakerOpenError) as caught:
        await jobs.start(ASKED, CALLER)
    assert caught.value.retry_after is not None
    (scan,) = stage.history.find().scans
    assert (scan.state, (scan.error or {})["type"], scan.started) == (ScanState.REFUSED, "circuit_open", None)


async def test_every_change_of_a_breaker_is_kept(stage: Stage) -> None:
    jobs = stage.jobs(FakeProcess([], exit_code=1), FakeProcess([ONE]))
    stage.app.breaker.reconfigure(replace(stage.app.breaker.config, failure_threshold=1))
    assert (await done(jobs)).state is ScanState.FAILED
    stage.app.breaker.force_close_nowait()
    await jobs.close(0.0)
    stage.app.breaker.force_open_nowait()
    assert [(change.breaker, change.from_state, change.to_state) for change in stage.history.transitions()] == [
        ("nmap", "OPEN", "CLOSED"),
        ("nmap", "CLOSED", "OPEN"),
    ]


async def test_a_change_of_a_breaker_that_cannot_be_kept_is_logged_and_changes_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = stage.jobs()
    broken(stage.history, "add_transition")
    stage.app.breaker.force_open_nowait()
    await jobs.close(0.0)
    assert "a change of breaker nmap is not in the history" in caplog.text


async def test_who_has_to_wait_is_answered_at_once_and_runs_later(stage: Stage) -> None:
    first_process = hanging()
    jobs = stage.jobs(first_process, FakeProcess([ONE]), limits=QueueLimits(total=1, per_tool=1, length=5))
    first = await jobs.start(ASKED, CALLER)
    second = await jobs.start(ASKED, CALLER)
    assert (second.state, second.started) == (ScanState.QUEUED, None)
    assert "number 1 in the queue" in second.phase
    stored = await jobs.get(second.scan_id)
    assert stored is not None
    assert stored.state is ScanState.QUEUED
    assert await jobs.cancel(first.scan_id)
    assert (await jobs.wait(second.scan_id, timeout=10)).state is ScanState.COMPLETED


async def test_a_scan_that_fails_keeps_its_error_and_what_it_had_found(stage: Stage) -> None:
    jobs = stage.jobs(FakeProcess([report(host("10.0.0.7", 22), whole=False)], exit_code=1, stderr="out of luck"))
    ended = await done(jobs)
    assert (ended.state, ended.hosts_up, ended.ports_open) == (ScanState.FAILED, 1, 1)
    assert (ended.error or {})["type"] == "tool_error"
    document = await jobs.result(ended.scan_id)
    assert document is not None
    assert report_from_dict(document["report"]).complete is False
    assert stage.stored() == [(ended.scan_id, ScanState.FAILED)]


async def test_a_tool_that_cannot_be_started_is_a_failed_scan_with_its_trace(stage: Stage) -> None:
    jobs = stage.jobs(FileNotFoundError(2, "No such file"))
    ended = await done(jobs)
    assert (ended.state, await jobs.result(ended.scan_id)) == (ScanState.FAILED, None)
    assert ended.trace_id == stage.memory.tree()[0].trace_id


async def test_cancelling_stops_nmap_and_keeps_what_was_found(stage: Stage) -> None:
    process = hanging(host("10.0.0.7", 22))
    jobs = stage.jobs(process)
    job = await jobs.start(ASKED, CALLER)
    async with asyncio.timeout(10):
        await process.hanging.wait()
    assert await jobs.cancel(job.scan_id)
    assert process.stopped
    assert stage.stored() == [(job.scan_id, ScanState.CANCELLED)]
    document = await jobs.result(job.scan_id)
    assert document is not None
    assert [host.address for host in report_from_dict(document["report"]).hosts] == ["10.0.0.7"]
    assert not await jobs.cancel(job.scan_id), "it does not run any more"
    assert not await jobs.cancel("nobody")


async def test_cancelling_one_that_waits_takes_it_out_of_the_queue(stage: Stage) -> None:
    jobs = stage.jobs(hanging(), limits=QueueLimits(total=1, per_tool=1, length=5))
    await jobs.start(ASKED, CALLER)
    second = await jobs.start(ASKED, CALLER)
    assert await jobs.cancel(second.scan_id)
    view = await jobs.get(second.scan_id)
    assert view is not None
    assert (view.state, view.started) == (ScanState.CANCELLED, None)
    assert await jobs.result(second.scan_id) is None


async def test_who_gives_up_while_asking_leaves_no_scan_behind(stage: Stage) -> None:
    process = hanging()
    jobs = stage.jobs(process)
    asking = asyncio.create_task(jobs.start(ASKED, CALLER))
    await until(lambda: jobs.running)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert jobs.running == 0
    assert all(state in {ScanState.CANCELLED, ScanState.REFUSED} for _, state in stage.stored())


async def test_every_reader_gets_the_events_and_a_late_one_begins_with_how_far_it_is(stage: Stage) -> None:
    process = Gated(report(host("10.0.0.7", 22), whole=False), exit_code=None)
    jobs = stage.jobs(process)
    job = await jobs.start(ASKED, CALLER)
    seen: list[list[str]] = [[], []]

    async def read(reader: int) -> None:
        async for event in jobs.events(job.scan_id):
            seen[reader].append(type(event).__name__)

    readers = [asyncio.create_task(read(0))]
    await until(lambda: stage.made._running[job.scan_id].fanout._readers)
    process.gate.set()
    await until(lambda: "HostFinished" in seen[0])
    readers.append(asyncio.create_task(read(1)))
    await until(lambda: seen[1])
    await jobs.cancel(job.scan_id)
    await asyncio.wait_for(asyncio.gather(*readers), 10)
    assert {"ScanStarted", "PhaseBegan", "OverallProgress", "HostFinished"} <= set(seen[0])
    assert seen[1] == ["OverallProgress"]


async def test_a_reader_that_reads_nothing_holds_nobody_up(stage: Stage) -> None:
    hosts = [host(f"10.0.0.{number}", 22) for number in range(200)]
    process = Gated(report(*hosts))
    jobs = stage.jobs(process)
    job = await jobs.start(ScanRequest("10.0.0.0/24", "-p 22"), CALLER)
    async with aclosing(jobs.events(job.scan_id, buffer=5)) as events:
        asyncio.get_running_loop().call_soon(process.gate.set)
        first = await anext(events)
        ended = await jobs.wait(job.scan_id, timeout=10)
        rest = [event async for event in events]
    assert first is not None
    assert ended.hosts_up == 200
    assert len(rest) <= 5
    assert rest[-1] == OverallProgress(100.0, rest[-1].phase)  # type: ignore[union-attr]


async def test_nothing_happens_any_more_in_what_has_ended_or_was_never_there(stage: Stage) -> None:
    jobs = stage.jobs(FakeProcess([ONE]))
    ended = await done(jobs)
    assert [event async for event in jobs.events(ended.scan_id)] == []
    assert [event async for event in jobs.events("nobody")] == []


async def test_waiting_ends_with_its_time_and_the_scan_goes_on(stage: Stage) -> None:
    jobs = stage.jobs(hanging())
    job = await jobs.start(ASKED, CALLER)
    view = await jobs.wait(job.scan_id, timeout=0.01)
    assert (view.state, jobs.running) == (ScanState.RUNNING, 1)


async def test_what_nobody_knows_is_said_to_be_unknown(stage: Stage) -> None:
    jobs = stage.jobs()
    assert await jobs.get("nobody") is None
    assert await jobs.result("nobody") is None
    with pytest.raises(UnknownScanError, match="there is no scan 'nobody'") as caught:
        await jobs.wait("nobody", timeout=1)
    assert caught.value.scan_id == "nobody"


async def test_a_scan_of_another_process_is_waited_for(stage: Stage) -> None:
    jobs, other = stage.jobs(), stage.open()
    elsewhere = stage.made._keeper.record("elsewhere", ASKED, CALLER)  # what another process stores
    other.begin(elsewhere.start)
    waiting = asyncio.create_task(jobs.wait("elsewhere", timeout=10))
    await until(lambda: not waiting.done())
    other.finish("elsewhere", ScanEnd(state=ScanState.COMPLETED))
    assert (await waiting).state is ScanState.COMPLETED
    other.close()


async def test_closing_lets_scans_finish_and_stops_the_rest_keeping_what_they_found(stage: Stage) -> None:
    slow = hanging(host("10.0.0.7", 22))
    jobs = stage.jobs(slow, FakeProcess([ONE]))
    stuck = await jobs.start(ASKED, CALLER)
    quick = await jobs.start(ASKED, CALLER)
    async with asyncio.timeout(10):
        await slow.hanging.wait()
    await jobs.close(0.2)
    await jobs.close(0.2)
    assert slow.stopped
    assert stage.stored() == [(quick.scan_id, ScanState.COMPLETED), (stuck.scan_id, ScanState.INTERRUPTED)]
    assert (await jobs.result(stuck.scan_id) or {})["report"]["hosts"]
    with pytest.raises(JobsClosedError, match="goes down"):
        await jobs.start(ASKED, CALLER)


async def test_who_asks_while_the_service_goes_down_is_told_so(stage: Stage) -> None:
    jobs = stage.jobs(hanging())
    asking = asyncio.create_task(jobs.start(ASKED, CALLER))
    await asyncio.sleep(0)
    (job,) = jobs._running.values()
    job.task.cancel()  # before its first step
    with pytest.raises(JobsClosedError):
        await asyncio.wait_for(asking, 10)
    assert (jobs.running, stage.stored()) == (0, [])


async def test_a_loop_that_ends_leaves_no_scan_running(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    history = History.open(tmp_path / "history.sqlite3", max_age=86_400.0, max_bytes=50_000_000)
    process = hanging(host("10.0.0.7", 22))

    async def main() -> str:
        jobs = Jobs(scripted_app(tmp_path, memory, [process]), history)
        job = await jobs.start(ASKED, CALLER)
        await process.hanging.wait()
        return job.scan_id

    scan_id = await asyncio.to_thread(asyncio.run, main())
    scan = history.get(scan_id)
    assert scan is not None
    assert (process.stopped, scan.state) == (True, ScanState.INTERRUPTED)
    assert (history.document(scan_id) or {})["report"]["hosts"]
    history.close()


def broken(history: History, *names: str) -> Callable[..., None]:
    """Make methods of `history` fail as on a full disk."""

    def fail(*_: object, **__: object) -> None:
        raise history._database.error("the disk is full", "free some space")

    for name in names:
        setattr(history, name, fail)
    return fail


@pytest.mark.parametrize("fails", [["finish"], ["begin", "finish"], ["last_comparable"], ["begin"]])
async def test_a_history_that_fails_never_fails_the_scan(
    stage: Stage, caplog: pytest.LogCaptureFixture, fails: Iterable[str]
) -> None:
    jobs = stage.jobs(FakeProcess([ONE]))
    broken(stage.history, *fails)
    with caplog.at_level(logging.WARNING):
        ended = await done(jobs)
    assert (ended.state, ended.ports_open) == (ScanState.COMPLETED, 1)
    assert "the disk is full" in ended.warnings[0]
    assert (await jobs.result(ended.scan_id) or {})["schema"] == "tracefuse.scan/1"
    assert "the disk is full; free some space" in caplog.text
    assert {event["reason"] for event in stage.events("history.failed")} == {"the disk is full"}
    assert jobs.running == 0


async def test_a_refusal_that_cannot_be_stored_is_a_refusal_all_the_same(stage: Stage) -> None:
    jobs = stage.jobs()
    broken(stage.history, "refuse")
    with pytest.raises(PolicyViolation):
        await jobs.start(ScanRequest("8.8.8.8"), CALLER)
    assert len(stage.events("history.failed")) == 1


async def test_an_error_that_nobody_expected_ends_the_scan_and_is_told_without_its_text(stage: Stage) -> None:
    jobs = stage.jobs(FakeProcess([ONE]))
    stage.history.last_comparable = lambda _: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    ended = await done(jobs)
    assert ended.state is ScanState.FAILED
    assert ended.error == {
        "type": "internal_error",
        "message": "an unexpected ZeroDivisionError; see the service's log",
    }


async def test_views_are_plain_values_for_json(stage: Stage) -> None:
    ended = await done(stage.jobs(FakeProcess([ONE])))
    plain = json.loads(json.dumps(ended.to_dict()))
    assert plain["state"] == "completed"
    assert plain["caller"] == {"kind": "mcp", "name": "agent/1", "user": "ann"}
    assert plain["request"] == {"target": "10.0.0.7", "extra_args": "-p 1-1000"}
    assert plain["created"].endswith("+00:00")
