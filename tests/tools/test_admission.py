"""Slow names hold up nobody but those who gave some."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.mcp_service import quick_nmap, settings_for
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import Caller, PolicySettings, PolicyViolation, ScanRequest, build
from tracefuse.tools.history._records import Query
from tracefuse.tools.service._service import open_service


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No name is answered before this is set."""
    event = threading.Event()

    def resolve(name: str) -> tuple[str, ...]:
        event.wait(30)
        return ("10.0.0.7",)

    monkeypatch.setattr("tracefuse.tools._app.resolve", resolve)
    yield event
    event.set()


async def test_names_that_are_not_answered_delay_neither_the_history_nor_scans_of_addresses(
    tmp_path: Path, memory: InMemoryTelemetry, answered: threading.Event
) -> None:
    settings = settings_for(tmp_path, quick_nmap(tmp_path), policy=PolicySettings(domains=(".lab.internal",)))
    async with open_service(settings, telemetry=memory.telemetry) as service:
        named = [
            asyncio.create_task(service.jobs.start(ScanRequest(f"h{number}.lab.internal", "-p 22"), Caller()))
            for number in range(40)
        ]
        async with asyncio.timeout(20):
            job = await service.jobs.start(ScanRequest("10.0.0.8", "-p 22"), Caller())
            assert (await service.jobs.wait(job.scan_id, None)).state == "completed"
            (found,) = (await asyncio.to_thread(service.history.find, Query())).scans
            assert found.scan_id == job.scan_id
        assert not any(task.done() for task in named)
        answered.set()
        for started in await asyncio.gather(*named):
            assert (await service.jobs.wait(started.scan_id, None)).state == "completed"


async def test_a_plan_is_made_without_a_scan_and_not_after_the_end(
    tmp_path: Path, memory: InMemoryTelemetry, answered: threading.Event
) -> None:
    settings = settings_for(tmp_path, quick_nmap(tmp_path), policy=PolicySettings(domains=(".lab.internal",)))
    app = build(settings, instrumentation=memory.telemetry.instrumentation)
    answered.set()
    assert (await app.plan(ScanRequest("a.lab.internal"))).targets == ("10.0.0.7",)
    with pytest.raises(PolicyViolation):
        await app.plan(ScanRequest("8.8.8.8"))
    app.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        await app.plan(ScanRequest("a.lab.internal"))
