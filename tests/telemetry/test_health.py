"""Health checks: their time limits, the rule of the whole, and where they are shown."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tracefuse.telemetry import (
    HealthCheckPriority,
    HealthCheckResult,
    HealthMonitor,
    HealthStatus,
    SystemHealth,
    breaker_check,
    executable_check,
    exporter_check,
    writable_check,
)
from tracefuse.telemetry._health import overall
from tracefuse.telemetry.testing import InMemoryTelemetry

CRITICAL, IMPORTANT, INFORMATIONAL = HealthCheckPriority
HEALTHY, DEGRADED, UNHEALTHY = HealthStatus


@pytest.fixture
def monitor(memory: InMemoryTelemetry, clock: Any) -> HealthMonitor:
    return HealthMonitor(clock=clock, instrumentation=memory.telemetry.instrumentation)


@pytest.mark.parametrize(
    ("found", "whole"),
    [
        ([], HEALTHY),
        ([(CRITICAL, HEALTHY), (INFORMATIONAL, HEALTHY)], HEALTHY),
        ([(CRITICAL, UNHEALTHY)], UNHEALTHY),
        ([(CRITICAL, DEGRADED)], DEGRADED),
        ([(IMPORTANT, UNHEALTHY), (CRITICAL, HEALTHY)], DEGRADED),
        ([(INFORMATIONAL, UNHEALTHY), (INFORMATIONAL, HEALTHY)], HEALTHY),
        ([(INFORMATIONAL, UNHEALTHY), (CRITICAL, HEALTHY)], DEGRADED),
    ],
)
def test_the_whole_follows_from_the_parts(found: list[Any], whole: HealthStatus) -> None:
    results = [HealthCheckResult(str(n), status, priority=priority) for n, (priority, status) in enumerate(found)]
    assert overall(results) is whole


async def test_checks_answer_in_many_ways(monitor: HealthMonitor) -> None:
    async def fine() -> bool:
        return True

    def raising() -> bool:
        raise OSError("disk on fire")

    answers: dict[str, Any] = {
        "true": lambda: True,
        "none": lambda: None,
        "text": lambda: "all well",
        "status": lambda: DEGRADED,
        "result": lambda: HealthCheckResult("x", DEGRADED, "slow", metadata={"a": 1}),
        "async": fine,
        "lambda": lambda: fine(),
        "false": lambda: False,
        "raising": raising,
    }
    for name, check in answers.items():
        monitor.add(name, check)
    found = {one.name: one for one in (await monitor.ready()).checks}
    assert {name: one.status for name, one in found.items()} == {
        **dict.fromkeys(("true", "none", "text", "async", "lambda"), HEALTHY),
        **dict.fromkeys(("status", "result"), DEGRADED),
        **dict.fromkeys(("false", "raising"), UNHEALTHY),
    }
    assert found["raising"].message == "OSError: disk on fire"
    assert (found["text"].message, found["result"].message, found["result"].metadata) == ("all well", "slow", {"a": 1})


async def test_a_check_that_hangs_is_unhealthy_in_time_and_not_started_twice(
    monitor: HealthMonitor, clock: Any
) -> None:
    release, started = threading.Event(), 0

    def hang() -> None:
        nonlocal started
        started += 1
        release.wait(30)

    async def sleep() -> None:
        await asyncio.sleep(30)

    monitor.add("thread", hang, timeout=0.05, priority=CRITICAL)
    monitor.add("task", sleep, timeout=0.05)
    try:
        for _ in range(3):
            found = await asyncio.wait_for(monitor.ready(), 5)
            assert found.status is UNHEALTHY
            assert {one.message for one in found.checks} == {"no answer within 0.05 s"}
            clock.advance(10.0)
        assert started == 1
    finally:
        release.set()


async def test_answers_are_remembered_for_a_while(monitor: HealthMonitor, clock: Any) -> None:
    asked: list[None] = []
    monitor.add("store", lambda: asked.append(None))
    for _ in range(10):
        await monitor.ready()
    assert len(asked) == 1
    clock.advance(5.0)
    await monitor.ready()
    assert len(asked) == 2
    clock.advance(70.0)
    assert monitor.last().is_stale()
    assert monitor.last().status is HEALTHY


async def test_live_ready_and_startup_ask_their_own_checks(monitor: HealthMonitor, clock: Any) -> None:
    up = False
    monitor.add("loading", lambda: up, kinds=("startup",), priority=CRITICAL)
    monitor.add("store", lambda: False, kinds=("ready",), priority=CRITICAL)
    assert (await monitor.live()).ok
    assert not (await monitor.ready()).ok
    assert not (await monitor.startup()).ok
    clock.advance(10.0)
    up = True
    assert (await monitor.startup()).ok
    clock.advance(10.0)
    up = False
    assert (await monitor.startup()).ok


async def test_health_is_json_a_metric_and_an_event(
    monitor: HealthMonitor, memory: InMemoryTelemetry, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    good = True
    monitor.add("store", lambda: good, priority=CRITICAL)
    with caplog.at_level(logging.INFO):
        await monitor.ready()
        good = False
        clock.advance(10.0)
        found = await monitor.ready()
    assert [point.value for point in memory.points("tracefuse.health.status")] == [2]  # type: ignore[union-attr]
    (event,) = memory.events("health.changed")
    assert (event.attributes["from_state"], event.attributes["to_state"]) == ("healthy", "unhealthy")
    assert caplog.messages == ["health.changed check=store from=healthy to=unhealthy the check answered no"]
    body = json.loads(json.dumps(found.to_dict()))
    assert list(body) == ["status", "timestamp", "checks", "summary"]
    assert body["summary"] == {"total": 1, "healthy": 0, "degraded": 0, "unhealthy": 1}
    assert list(body["checks"]["store"]) == [
        *("name", "status", "message", "priority", "priority_name", "timestamp", "duration", "metadata")
    ]
    monitor.remove("store")
    assert memory.metric("tracefuse.health.status") is None
    monitor.close()


def test_a_check_that_cannot_be_added_is_refused(monitor: HealthMonitor) -> None:
    monitor.add("a", lambda: True)
    for settings in ({"name": "a"}, {"kinds": ()}, {"kinds": ("often",)}, {"timeout": 0}):
        with pytest.raises(ValueError):
            monitor.add(**{"name": "b", "check": lambda: True, **settings})  # type: ignore[arg-type]


def test_a_breaker_that_is_not_closed_degrades() -> None:
    breaker = SimpleNamespace(state=SimpleNamespace(name="OPEN"), retry_after=12.0)
    assert breaker_check(breaker)().message == "OPEN, next try in 12.0 s"
    assert breaker_check(breaker)().status is DEGRADED
    breaker.state.name = "CLOSED"
    assert breaker_check(breaker)().status is HEALTHY


def test_a_folder_that_cannot_be_written_is_unhealthy(tmp_path: Path) -> None:
    assert writable_check(tmp_path)().metadata["free_bytes"] > 0
    assert list(tmp_path.iterdir()) == []
    missing = writable_check(tmp_path / "missing")()
    assert (missing.status, "No such file" in missing.message) == (UNHEALTHY, True)


async def test_programs_are_found_and_asked(monitor: HealthMonitor) -> None:
    good = await executable_check(sys.executable)()
    assert (good.status, good.message.startswith("Python 3")) == (HEALTHY, True)
    assert (await executable_check(sys.executable, ("-c", "raise SystemExit(3)"))()).metadata["returncode"] == 3
    assert (await executable_check("tracefuse-no-such-program")()).message.endswith("is not installed")
    monitor.add("slow", executable_check(sys.executable, ("-c", "import time; time.sleep(60)")), timeout=0.3)
    assert (await monitor.ready()).checks[0].message == "no answer within 0.3 s"


async def test_a_program_that_writes_without_end_is_unhealthy_soon_and_gone(tmp_path: Path) -> None:
    program = tmp_path / "endless"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nyes\n", encoding="utf-8")
    program.chmod(0o755)
    async with asyncio.timeout(10):
        result = await executable_check(str(program))()
    assert (result.status, result.message) == (HealthStatus.UNHEALTHY, f"{program} writes without end")
    group = int((tmp_path / "pid").read_text())
    living = [path for path in Path("/proc").glob("[0-9]*/stat") if _in_group(path, group)]
    assert living == []


def _in_group(stat: Path, group: int) -> bool:
    try:
        state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return int(pgrp) == group and state not in "ZX"


async def test_a_check_that_is_given_up_just_as_its_program_ends_says_nothing_of_it() -> None:
    for _ in range(20):
        check = asyncio.ensure_future(executable_check(sys.executable, ("-c", ""))())
        await asyncio.sleep(0.02)
        check.cancel()
        await asyncio.gather(check, return_exceptions=True)
        assert check.cancelled() or check.result().status is HealthStatus.HEALTHY


@pytest.mark.parametrize("mode", ["normal", "refusing"])
def test_an_exporter_without_a_receiver_degrades(otlp_receiver: Any, mode: str) -> None:
    with InMemoryTelemetry(otlp_receiver("http/protobuf", mode).environ) as memory:
        check = exporter_check(memory.telemetry)
        assert check().status is HEALTHY
        memory.telemetry.instrumentation.tracer.start_span("work").end()
        memory.telemetry.tracer_provider.force_flush()  # type: ignore[attr-defined]
        found = check()
    spans = found.metadata["spans"]
    if mode == "normal":
        assert (found.status, spans["unconfirmed"]) == (HEALTHY, 0)
        assert spans["seconds_since_success"] < 60
    else:
        assert (found.status, spans["unconfirmed"], spans["seconds_since_success"]) == (DEGRADED, 1, None)
        assert "(connection refused)" in found.message


def test_a_degraded_service_still_serves() -> None:
    assert SystemHealth(DEGRADED).ok
    assert not SystemHealth(UNHEALTHY).ok
