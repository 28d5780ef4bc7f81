"""Many agents at once on a service that runs two scans at a time: everybody gets an answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from mcp_types import CallToolResult

from support.cli import environment
from support.mcp_service import MODES, called, connected_over_http, quick_nmap
from support.service_process import serving

CLIENTS, EACH = 20, 10


async def outcomes(url: str, mode: str) -> list[str]:
    """What became of `EACH` calls of one client, all at once."""

    async def one(number: int) -> str:
        result = await client.call_tool("nmap_scan", {"target": "10.0.0.7-8", "extra_args": f"-p {number + 1}"})
        assert isinstance(result, CallToolResult)
        if not result.is_error:
            return str(result.structured_content["state"])
        error = result.structured_content["error"]
        assert error["retry_after"] > 0, error
        return str(error["type"])

    async with connected_over_http(url, mode) as client:
        return await asyncio.gather(*(one(number) for number in range(EACH)))


@pytest.mark.parametrize("mode", MODES)
async def test_two_hundred_calls_are_answered_by_a_service_with_two_places(tmp_path: Path, mode: str) -> None:
    env = environment(
        tmp_path / "cache",
        TRACEFUSE_NMAP_PATH=quick_nmap(tmp_path),
        TRACEFUSE_SERVE_MCP="http",
        TRACEFUSE_QUEUE_TOTAL="2",
        TRACEFUSE_QUEUE_PER_TOOL="2",
        TRACEFUSE_SERVE_RATE="1000000",
    )
    with serving(env) as service:
        url = f"{service.url}/mcp"
        answers = await asyncio.gather(*(outcomes(url, mode) for _ in range(CLIENTS)))
        counts = Counter(outcome for client in answers for outcome in client)
        assert counts.total() == CLIENTS * EACH
        assert set(counts) <= {"completed", "queue_full"} and counts["completed"] >= 100
        memory = Path(f"/proc/{service.process.pid}/status").read_text()
        resident = int(memory.partition("VmRSS:")[2].split()[0]) / 1024
        assert resident < 400
        async with connected_over_http(url, mode) as client:
            assert (await called(client, "nmap_scan", target="10.0.0.7"))["state"] == "completed"
        metrics = service.metrics()
        assert 'tracefuse_queue_length{reason="tool limit",tool="nmap"} 0.0' in metrics
        assert 'mcp_server_operation_duration_seconds_count{gen_ai_tool_name="nmap_scan"' in metrics
