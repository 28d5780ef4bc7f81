"""A tool that an operator has disabled is refused everywhere, in the same words, and every refusal is told."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from support.http_service import serving_in_process
from support.mcp_service import connected, quick_nmap, told
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import Caller, CallerKind, ScanRequest
from tracefuse.tools._errors import ToolDisabledError

WORDS = "an operator has disabled nmap; it takes no requests until one enables it again: POST /tools/nmap/enable"


async def test_a_disabled_tool_is_refused_to_every_face_in_the_same_words(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serving_in_process(tmp_path, quick_nmap(tmp_path), memory) as face,
        connected(face.service) as client,
    ):
        await face.client.post("/tools/NmapTool/disable")
        for answer in (
            await face.scan(),
            await face.scan(wait=False),
            await face.client.post("/tools/nmap/execute", json={"target": "10.0.0.7"}),
        ):
            assert (answer.status_code, answer.json()["detail"], answer.json()["name"]) == (403, WORDS, "nmap")
        for tool in ("nmap_scan", "scan_start"):
            result = await client.call_tool(tool, {"target": "10.0.0.7"})
            assert result.is_error
            assert WORDS in told(result)
            assert result.structured_content["error"]["type"] == "tool_disabled"
        explained = (await client.call_tool("explain_policy", {"target": "10.0.0.7"})).structured_content
        assert (explained["allowed"], explained["violation"]["type"]) == (False, "tool_disabled")
        with pytest.raises(ToolDisabledError, match="POST /tools/nmap/enable"):
            await face.service.jobs.start(ScanRequest("10.0.0.7"), Caller(CallerKind.SCHEDULE, "nightly"))
        stored = (await face.client.get("/scans", params={"state": "refused"})).json()["scans"]
        assert {scan["error"]["message"] for scan in stored} == {WORDS}
        await face.client.post("/tools/NmapTool/enable")
        assert not (await client.call_tool("nmap_scan", {"target": "10.0.0.7", "extra_args": "-p 22"})).is_error
    assert (tmp_path / "ran").read_text() == "run\n"
    assert memory.metric("tracefuse.policy.refusals", tool="nmap", rule="tool_disabled") == 6
    said = [record.getMessage() for record in caplog.records]
    audited = [json.loads(line.partition(" ")[2]) for line in said if line.startswith("audit.scan")]
    refused = [line["actor"]["invoked_by"] for line in audited if line.get("status_detail") == "tool_disabled"]
    assert refused == ["http"] * 3 + ["mcp"] * 2 + ["schedule"]


def test_the_refusal_is_picklable() -> None:
    again = pickle.loads(pickle.dumps(ToolDisabledError("nmap")))
    assert (again.name, str(again)) == ("nmap", WORDS)
