"""Who is turned away is in the audit, and a flood of refusals is a few lines that say how many they stand for."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from support.http_service import Face, serving_in_process, token_file
from support.mcp_service import quick_nmap
from support.mcp_wire import mcp_call, mcp_headers
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import ServeSettings
from tracefuse.tools._audit import Actor, Audit
from tracefuse.tools.http._attempts import Attempts
from tracefuse.tools.http._auth import Role


def written(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    said = [record.getMessage() for record in caplog.records if record.name == "tracefuse.audit"]
    return [json.loads(line.partition(" ")[2]) for line in said if line.startswith("audit.operation")]


def test_a_flood_is_a_line_a_second_for_each_client(
    memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tracefuse")
    now = 0.0
    attempts = Attempts(Audit(memory.telemetry.instrumentation.logger), clock=lambda: now)
    for tick in range(3):
        now = float(tick)
        for _ in range(1_000):
            attempts.refused("ann", "request.unauthenticated", "POST /scans", 401, Actor(kind="http"))
    assert [line.get("count", 1) for line in written(caplog)] == [1, 1_000, 1_000]


def test_a_flood_from_many_clients_is_ten_lines_a_second(
    memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tracefuse")
    attempts = Attempts(Audit(memory.telemetry.instrumentation.logger), clock=lambda: 0.0)
    for number in range(5_000):
        attempts.refused(f"10.0.0.{number}", "request.unauthenticated", "POST /scans", 401, Actor(kind="http"))
    assert len(written(caplog)) == 10
    assert len(attempts._clients) == 1_000


async def refused_as(face: Face, address: str, **headers: str) -> int:
    async with face.from_address(address, **headers) as client:
        return (await client.post("/scans", json={"targets": ["10.0.0.7"]})).status_code


async def test_refused_scans_are_audited_with_who_and_why(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    path, held = token_file(tmp_path, bob=Role.READ, ann=Role.SCAN)
    caplog.set_level(logging.INFO, "tracefuse")
    serve = ServeSettings(tokens_file=path, rate=1)
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory, serve) as face:
        assert await refused_as(face, "10.1.0.1") == 401
        assert await refused_as(face, "10.1.0.2", authorization="Bearer tf_wrong") == 401
        assert await refused_as(face, "10.1.0.3", **held["bob"]) == 403
        assert [await refused_as(face, "10.1.0.4", **held["ann"]) for _ in range(2)] == [200, 429]
    told = [
        (line["api"]["operation"], line["api"]["response"]["code"], line["actor"].get("user"), line["src_endpoint"])
        for line in written(caplog)
    ]
    assert told == [
        ("request.unauthenticated", 401, None, {"ip": "10.1.0.1"}),
        ("request.unauthenticated", 401, None, {"ip": "10.1.0.2"}),
        ("request.forbidden", 403, {"name": "bob"}, {"ip": "10.1.0.3"}),
        ("request.rate_limited", 429, {"name": "ann"}, {"ip": "10.1.0.4"}),
    ]
    assert {line["resources"][0]["name"] for line in written(caplog)} == {"POST /scans"}


async def test_calls_over_mcp_have_the_rate_of_the_other_paths_and_share_the_count_of_scans(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tracefuse")
    serve = ServeSettings(rate=2, mcp="http")

    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory, serve) as face:

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            answer = await face.client.post("/mcp", json=mcp_call(tool, **arguments), headers=mcp_headers(tool))
            result: dict[str, Any] = answer.json()["result"]
            return result

        assert (await face.scan()).status_code == 200
        assert not (await call("nmap_scan", target="10.0.0.7", extra_args="-p 22"))["isError"]
        refused = await call("scan_start", target="10.0.0.7")
        assert refused["isError"]
        error = refused["structuredContent"]["error"]
        assert (error["type"], error["retry_after"]) == ("rate_limited", pytest.approx(30, abs=2))
        assert (await face.scan()).status_code == 429
        assert not (await call("list_templates"))["isError"]
    first = written(caplog)[0]
    assert (first["resources"], first["api"]["response"]) == ([{"name": "tools/call scan_start"}], {"code": 429})
