"""`tracefuse serve --mcp http` as a process: tokens, restarts, and an end that no listener holds up."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import httpx2
import pytest

from support.cli import environment, tracefuse
from support.mcp_service import called, connected_over_http, hanging_nmap, process_of, quick_nmap
from support.mcp_tasks import TaskExtension, ask, handed_over
from support.polling import eventually
from support.service_process import serving

SCAN = {"target": "10.0.0.7-8", "extra_args": "-p 22"}


async def test_a_token_opens_what_its_role_reaches(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    env = environment(
        tmp_path / "cache",
        TRACEFUSE_NMAP_PATH=quick_nmap(tmp_path),
        TRACEFUSE_SERVE_MCP="http",
        TRACEFUSE_SERVE_TOKENS_FILE=str(file),
    )
    held = {}
    for role in ("read", "scan"):
        made = await asyncio.to_thread(tracefuse, "token", "create", f"my-{role}", "--role", role, env=env)
        (token,) = [word for word in made.out.split() if word.startswith("tf_")]
        held[role] = {"authorization": f"Bearer {token}"}
    with serving(env) as service:
        url = f"{service.url}/mcp"
        async with httpx2.AsyncClient() as http:
            codes = [(await http.post(url, json={}, headers=one)).status_code for one in ({}, {"authorization": "x"})]
        assert codes == [401, 401]
        async with connected_over_http(url, headers=held["read"]) as client:
            refused = await client.call_tool("nmap_scan", SCAN)
            assert refused.structured_content["error"]["type"] == "forbidden"  # type: ignore[union-attr]
        async with connected_over_http(url, headers=held["scan"]) as client:
            await called(client, "nmap_scan", **SCAN)
            (row,) = (await called(client, "scan_history"))["scans"]
        assert row["caller"].endswith("my-scan")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_task_is_still_there_after_a_restart(tmp_path: Path, end: signal.Signals) -> None:
    env = environment(
        tmp_path / "cache",
        TRACEFUSE_NMAP_PATH=hanging_nmap(tmp_path),
        TRACEFUSE_SERVE_MCP="http",
        TRACEFUSE_SERVE_GRACE="0",
    )
    with serving(env) as service:
        async with connected_over_http(f"{service.url}/mcp", extensions=[TaskExtension()]) as client:
            handle = await handed_over(client, **SCAN)
            eventually(lambda: process_of(tmp_path), "nmap to run")
        service.process.send_signal(end)
        service.process.wait(30)
    eventually(lambda: process_of(tmp_path) is None, "nmap to end")
    with serving(env) as service:
        async with connected_over_http(f"{service.url}/mcp", extensions=[TaskExtension()]) as client:
            task = await ask(client.session, "tasks/get", handle.task_id)
    assert (task["status"], task["result"]["isError"]) == ("completed", True)
    assert task["result"]["structuredContent"]["state"] == "interrupted"


async def test_a_client_that_only_listens_does_not_hold_up_the_end(tmp_path: Path) -> None:
    env = environment(
        tmp_path / "cache",
        TRACEFUSE_NMAP_PATH=quick_nmap(tmp_path),
        TRACEFUSE_SERVE_MCP="http",
        TRACEFUSE_SERVE_GRACE="60",
    )
    with serving(env) as service:
        async with connected_over_http(f"{service.url}/mcp", "legacy") as client:
            await called(client, "nmap_scan", **SCAN)
            began = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(service.process.wait, 30) == 0
            assert time.monotonic() - began < 15
