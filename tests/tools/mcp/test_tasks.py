"""The Tasks extension: a handle that outlives the call, the client, and the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError

from support.mcp_service import called, connected, failing_nmap, hanging_nmap, process_of, quick_nmap, running_service
from support.mcp_tasks import EXTENSION, Task, TaskExtension, ask, handed_over
from support.polling import until
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools.mcp import _scan as _mcp_scan
from tracefuse.tools.service._service import Service

SCAN = {"target": "10.0.0.7-8", "extra_args": "-p 22"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scan that has not ended at once becomes a task."""
    monkeypatch.setattr(_mcp_scan, "DIRECT", 0.05)


@asynccontextmanager
async def polling(service: Service) -> AsyncIterator[Client]:
    """A client that declares the extension."""
    async with connected(service, extensions=[TaskExtension()]) as client:
        yield client


async def task(client: Client, task_id: str) -> Task:
    return Task.model_validate(await ask(client.session, "tasks/get", task_id), by_name=False)


async def test_the_server_offers_tasks_where_they_exist(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service:
        async with connected(service) as client:
            assert client.server_capabilities.extensions == {EXTENSION: {}}
        async with connected(service, "legacy") as client:
            assert client.server_capabilities.extensions is None


async def test_a_long_scan_becomes_a_task(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with running_service(tmp_path, hanging_nmap(tmp_path), memory) as service:
        async with polling(service) as client:
            handle = await handed_over(client, **SCAN)
            assert handle.status == "working" and "running" in handle.status_message
            assert handle.poll_interval_ms in {1000, 2000, 5000} and handle.ttl_ms == 90 * 86_400_000
            assert datetime.fromisoformat(handle.created_at) <= datetime.fromisoformat(handle.last_updated_at)
            assert await service.jobs.get(handle.task_id) is not None
        async with polling(service) as client:
            assert (await task(client, handle.task_id)).status == "working"
            for method, more in (("tasks/update", {"input_responses": {"x": {}}}), ("tasks/cancel", {})):
                acknowledged = await ask(client.session, method, handle.task_id, **more)
                assert acknowledged.keys() == {"resultType", "_meta"} and acknowledged["resultType"] == "complete"
            await until(lambda: process_of(tmp_path) is None)
            ended = await task(client, handle.task_id)
            assert (ended.status, ended.result) == ("cancelled", None)
            assert "scan_result has what it had found" in ended.status_message
            found = await called(client, "scan_result", scan_id=handle.task_id)
            assert found["hosts"][0]["address"] == "10.0.0.7"


async def test_a_short_scan_and_a_refusal_are_answered_at_once(
    tmp_path: Path, memory: InMemoryTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mcp_scan, "DIRECT", 30.0)
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, polling(service) as client:
        assert (await called(client, "nmap_scan", **SCAN))["state"] == "completed"
        refused = await client.call_tool("nmap_scan", {"target": "8.8.8.8"})
        assert refused.is_error


async def test_the_clients_extension_polls_to_the_result(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    go_on = tmp_path / "go"
    nmap = quick_nmap(tmp_path)
    waits = Path(nmap).read_text().replace("cat ", f'while ! test -e "{go_on}"; do sleep 0.02; done; cat ')
    Path(nmap).write_text(waits)
    async with running_service(tmp_path, nmap, memory) as service, polling(service) as client:
        handle = await handed_over(client, **SCAN)
        go_on.touch()
        assert (await service.jobs.wait(handle.task_id, 20.0)).state == "completed"
        ended = await task(client, handle.task_id)
        assert ended.status == "completed" and ended.result is not None
        assert ended.result["structuredContent"]["hosts"][0]["address"] == "10.0.0.7"
        assert ended.result["isError"] is False and ended.result["content"]
        go_on.unlink()
        resolved = client.call_tool("nmap_scan", SCAN)
        go_on.touch()
        assert (await resolved).structured_content["state"] == "completed"


async def test_a_scan_that_fails_is_a_completed_task_with_a_tool_error(
    tmp_path: Path, memory: InMemoryTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mcp_scan, "DIRECT", 0.0)
    async with running_service(tmp_path, failing_nmap(tmp_path), memory) as service, polling(service) as client:
        handle = await handed_over(client, **SCAN)
        await service.jobs.wait(handle.task_id, 20.0)
        ended = await task(client, handle.task_id)
    assert ended.status == "completed" and ended.result is not None and ended.result["isError"] is True
    assert ended.result["structuredContent"]["error"]["error_type"] == "execution_error"


async def test_a_task_survives_a_restart_of_the_service(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    nmap = hanging_nmap(tmp_path)
    async with running_service(tmp_path, nmap, memory) as service, polling(service) as client:
        handle = await handed_over(client, **SCAN)
        await until(lambda: process_of(tmp_path))
    assert process_of(tmp_path) is None
    async with running_service(tmp_path, nmap, memory) as service, polling(service) as client:
        ended = await task(client, handle.task_id)
        assert ended.status == "completed" and ended.result is not None and ended.result["isError"] is True
        found: dict[str, Any] = ended.result["structuredContent"]
        assert (found["state"], found["complete"], found["hosts"][0]["address"]) == ("interrupted", False, "10.0.0.7")


async def test_who_did_not_declare_tasks_gets_none(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service:
        for mode in ("auto", "legacy"):
            async with connected(service, mode) as client:
                scan = await called(client, "nmap_scan", **SCAN)
                for method in ("tasks/get", "tasks/update", "tasks/cancel"):
                    with pytest.raises(MCPError, match="Missing required client capability") as caught:
                        await ask(client.session, method, scan["scan_id"])
                    assert caught.value.code == -32021
                    assert caught.value.data == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


@pytest.mark.parametrize("task_id", ["nope", "", "x" * 10_000, "../../etc/passwd", "' OR 1=1 --"])
async def test_an_unknown_task_is_an_invalid_parameter(tmp_path: Path, memory: InMemoryTelemetry, task_id: str) -> None:
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, polling(service) as client:
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            with pytest.raises(MCPError, match="Task not found") as caught:
                await ask(client.session, method, task_id)
            assert caught.value.code == -32602
