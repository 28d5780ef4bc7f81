"""MCP over streamable HTTP: both protocol revisions, roles, hosts and origins, hang-ups, and the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import MCPError
from mcp_types import CallToolResult

from support.mcp_service import (
    MODES,
    called,
    connected_over_http,
    hanging_nmap,
    http_endpoint,
    process_of,
    quick_nmap,
    running_service,
)
from support.mcp_tasks import TaskExtension, ask, handed_over
from support.polling import until
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools.mcp import _scan as _mcp_scan
from tracefuse.tools.service._service import Service

SCAN: dict[str, Any] = {"target": "10.0.0.7-8", "extra_args": "-p 22"}
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture
async def quick(tmp_path: Path, memory: InMemoryTelemetry) -> AsyncIterator[str]:
    """The URL of a service whose nmap answers at once."""
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, http_endpoint(service) as url:
        yield url


@pytest.fixture
async def hanging(tmp_path: Path, memory: InMemoryTelemetry) -> AsyncIterator[tuple[Service, str]]:
    """A service whose nmap finds one host and then hangs, and its URL."""
    async with running_service(tmp_path, hanging_nmap(tmp_path), memory) as service, http_endpoint(service) as url:
        yield service, url


def call_body(name: str, arguments: Any, **meta: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments, "_meta": META | meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def call_headers(name: str, **more: str) -> dict[str, str]:
    return HEADERS | {"mcp-method": "tools/call", "mcp-name": name} | more


@pytest.mark.parametrize("mode", MODES)
async def test_tools_work_over_http_with_progress(quick: str, mode: str) -> None:
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with connected_over_http(quick, mode) as client:
        assert len((await client.list_tools()).tools) == 10
        result = await client.call_tool("nmap_scan", SCAN, progress_callback=hear)
        assert isinstance(result, CallToolResult) and result.structured_content["hosts_up"] == 1
        assert (await called(client, "scan_history"))["scans"][0]["caller"].startswith("mcp mcp/")
        with pytest.raises(MCPError, match="not found"):
            await client.read_resource("tracefuse://scans/none")
    assert heard[-1] == 100.0


async def test_a_client_of_the_current_revision_that_hangs_up_stops_its_scan(
    hanging: tuple[Service, str], tmp_path: Path
) -> None:
    service, url = hanging
    async with httpx2.AsyncClient() as http:
        body = call_body("nmap_scan", SCAN, progressToken=1)
        asking = asyncio.create_task(http.post(url, json=body, headers=call_headers("nmap_scan"), timeout=60))
        await until(lambda: process_of(tmp_path))
        asking.cancel()
    await until(lambda: process_of(tmp_path) is None)
    await until(lambda: service.jobs.running == 0)
    (scan,) = service.history.find().scans
    assert (scan.state, scan.hosts_up, scan.caller.name) == ("cancelled", 1, "raw/1")


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_stops_its_nmap(hanging: tuple[Service, str], tmp_path: Path, mode: str) -> None:
    _, url = hanging
    async with connected_over_http(url, mode) as client:
        call = asyncio.create_task(client.call_tool("nmap_scan", SCAN))
        await until(lambda: process_of(tmp_path))
        call.cancel()
        await until(lambda: process_of(tmp_path) is None)
        assert await called(client, "breaker_status")


async def test_a_task_goes_on_while_its_client_reconnects(
    hanging: tuple[Service, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mcp_scan, "DIRECT", 0.05)
    _, url = hanging
    async with connected_over_http(url, extensions=[TaskExtension()]) as client:
        handle = await handed_over(client, **SCAN)
    async with connected_over_http(url, extensions=[TaskExtension()]) as client:
        assert (await ask(client.session, "tasks/get", handle.task_id))["status"] == "working"
        assert process_of(tmp_path) is not None
        await ask(client.session, "tasks/cancel", handle.task_id)
        assert (await ask(client.session, "tasks/get", handle.task_id))["status"] == "cancelled"
    assert process_of(tmp_path) is None


@pytest.mark.parametrize("mode", MODES)
async def test_a_role_sees_and_calls_what_it_may(quick: str, mode: str) -> None:
    async with connected_over_http(quick, mode, {"x-role": "read"}) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert "scan_history" in names and not names & {"nmap_scan", "scan_start", "scan_cancel"}
        for tool in ("nmap_scan", "scan_start"):
            refused = await client.call_tool(tool, SCAN)
            assert refused.structured_content["error"]["type"] == "forbidden"  # type: ignore[union-attr]
        assert (await called(client, "explain_policy", **SCAN))["allowed"] is True
    async with connected_over_http(quick, mode, {"x-role": "scan"}) as client:
        scan = await called(client, "nmap_scan", **SCAN)
        (row,) = (await called(client, "scan_history"))["scans"]
        assert (row["scan_id"], row["caller"].split()[-1]) == (scan["scan_id"], "scan-token")


async def test_only_an_operator_stops_the_scans_of_others(hanging: tuple[Service, str], tmp_path: Path) -> None:
    service, url = hanging
    async with connected_over_http(url, headers={"x-role": "operate"}) as client:
        theirs = (await called(client, "scan_start", **SCAN))["scan_id"]
    async with connected_over_http(url, headers={"x-role": "scan"}, extensions=[TaskExtension()]) as client:
        refused = await client.call_tool("scan_cancel", {"scan_id": theirs})
        assert refused.structured_content["error"]["type"] == "forbidden"  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="may not cancel"):
            await ask(client.session, "tasks/cancel", theirs)
        own = (await called(client, "scan_start", **SCAN))["scan_id"]
        assert (await called(client, "scan_cancel", scan_id=own))["cancelled"] is True
    async with connected_over_http(url, headers={"x-role": "operate"}) as client:
        assert (await called(client, "scan_cancel", scan_id=theirs))["cancelled"] is True
    assert service.jobs.running == 0


async def test_a_session_answers_only_to_the_token_that_began_it(quick: str) -> None:
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }
    headers = HEADERS | {"mcp-protocol-version": "2025-11-25"}
    async with httpx2.AsyncClient() as http:
        begun = await http.post(quick, json=initialize, headers=headers | {"x-role": "operate"})
        session = {"mcp-session-id": begun.headers["mcp-session-id"]}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        codes = [
            (await http.post(quick, json=ping, headers=headers | session | {"x-role": role})).status_code
            for role in ("operate", "scan")
        ]
    assert (begun.status_code, codes) == (200, [200, 404])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"x-role": "stranger"}, 401),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 400),
        ({"accept": "text/html"}, 406),
        ({"mcp-protocol-version": "1999-01-01"}, 400),
    ],
)
async def test_strangers_and_web_pages_cannot_reach_it(quick: str, headers: dict[str, str], status: int) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(
            quick, content=json.dumps(call_body("breaker_status", {})), headers=call_headers("breaker_status") | headers
        )
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not json", 400),
        (b"\xff\xfe", 400),
        (b"[" * 10_000 + b"]" * 10_000, 400),
        (b"[]", 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"nonsense"}', 400),
        (json.dumps(call_body("breaker_status", "text")).encode(), 400),
        (json.dumps(call_body("breaker_status", {"name": "x" * 100_000})).encode(), 413),
    ],
)
async def test_bad_bodies_are_refused_within_limits(quick: str, body: bytes, status: int) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(quick, content=body, headers=call_headers("breaker_status"))
        assert answer.status_code == status
        good = await http.post(quick, json=call_body("breaker_status", {}), headers=call_headers("breaker_status"))
        assert good.json()["result"]["isError"] is False


async def test_text_that_is_no_unicode_comes_back_as_text(quick: str) -> None:
    body = json.dumps(call_body("nmap_scan", {"target": "\ud800", "template": "\udfff"})).encode()
    async with httpx2.AsyncClient() as http:
        refused = await http.post(quick, content=body, headers=call_headers("nmap_scan"))
        listed = await http.post(quick, json=call_body("scan_history", {}), headers=call_headers("scan_history"))
    assert refused.json()["result"]["isError"] is True
    assert listed.json()["result"]["isError"] is False


async def test_at_the_end_calls_are_answered_and_listeners_let_go(hanging: tuple[Service, str], tmp_path: Path) -> None:
    service, url = hanging
    async with connected_over_http(url, "legacy") as client:
        waiting = asyncio.create_task(client.call_tool("nmap_scan", SCAN))
        await until(lambda: process_of(tmp_path))
        service.stopping.set()
        await service.jobs.close(0.0)
        result = await waiting
        assert isinstance(result, CallToolResult) and result.is_error
        assert result.structured_content["state"] == "interrupted"
        assert result.structured_content["hosts"][0]["address"] == "10.0.0.7"
        async with httpx2.AsyncClient() as http:
            async with asyncio.timeout(10):
                while (await http.post(url, headers=HEADERS)).status_code != 503:
                    pass
