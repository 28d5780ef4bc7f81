"""What MCP calls leave behind: durations with bounded attributes, one trace, the caller, the baggage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from opentelemetry import baggage
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from support.mcp_service import called, connected, hanging_nmap, quick_nmap, running_service
from support.mcp_tasks import TaskExtension, handed_over
from support.polling import until
from tracefuse.telemetry import INSTRUMENTS
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools.mcp import _scan as _mcp_scan

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
SCAN = {"target": "10.0.0.7-8", "extra_args": "-p 22"}


def durations(memory: InMemoryTelemetry) -> Iterator[dict[str, Any]]:
    for point in memory.points("mcp.server.operation.duration"):
        assert isinstance(point, HistogramDataPoint)
        assert tuple(point.explicit_bounds) == INSTRUMENTS["mcp.server.operation.duration"].boundaries
        yield dict(point.attributes or {})


async def test_each_request_is_measured_with_names_of_a_fixed_set(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, connected(service) as client:
        await called(client, "nmap_scan", **SCAN)
        await client.call_tool("nmap_scan", {"target": "8.8.8.8"})
        for name in ("one", "two"):
            with pytest.raises(MCPError):
                await client.call_tool(name, {})
    found = list(durations(memory))
    call = {"mcp.method.name": "tools/call", "mcp.protocol.version": "2026-07-28"}
    assert call | {"gen_ai.tool.name": "nmap_scan"} in found
    assert call | {"gen_ai.tool.name": "nmap_scan", "error.type": "tool_error"} in found
    assert call | {"gen_ai.tool.name": "_OTHER", "error.type": "-32602"} in found
    assert not any({"one", "two"} & set(map(str, attributes.values())) for attributes in found)


async def test_the_trace_of_the_agent_goes_on_in_nmap(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    # The SDK's span belongs to the global provider, which is none here; what it would pass on is what came.
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, connected(service) as client:
        meta = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        result = await client.call_tool("nmap_scan", SCAN, meta=meta)
    assert result.structured_content["trace_id"] == TRACE  # type: ignore[union-attr]
    (scan,) = memory.spans("nmap scan")
    assert scan.parent is not None and f"{scan.parent.span_id:016x}" == SPAN
    assert {f"{span.context.trace_id:032x}" for span in memory.spans() if span.context} == {TRACE}
    attributes = dict(scan.attributes or {})
    assert attributes["tracefuse.caller.kind"] == "mcp"
    assert attributes["tracefuse.caller.name"] == "mcp/0.1.0"


async def test_a_task_goes_on_in_the_trace_of_the_call_that_began_it(
    tmp_path: Path, memory: InMemoryTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_mcp_scan, "DIRECT", 0.0)
    async with (
        running_service(tmp_path, hanging_nmap(tmp_path), memory) as service,
        connected(service, extensions=[TaskExtension()]) as client,
    ):
        handle = await handed_over(client, **SCAN)
        await service.jobs.cancel(handle.task_id)
        await until(lambda: memory.spans("nmap scan"))
    (scan,) = memory.spans("nmap scan")
    assert scan.attributes is not None and scan.attributes["tracefuse.scan.id"] == handle.task_id


async def test_baggage_is_there_while_the_call_is_handled(
    tmp_path: Path, memory: InMemoryTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, object]] = []
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, connected(service) as client:
        find = service.history.find

        def look(*args: Any) -> Any:
            seen.append(dict(baggage.get_all()))
            return find(*args)

        monkeypatch.setattr(type(service.history), "find", lambda _, *args: look(*args))
        await client.call_tool("scan_history", {}, meta={"baggage": "team=blue,ticket=17"})
        await client.call_tool("scan_history", {})
        await client.call_tool("scan_history", {}, meta={"baggage": "=;,not a baggage"})
    assert seen == [{"team": "blue", "ticket": "17"}, {}, {}]
