"""The MCP tools through the SDK's client in memory, in the current protocol revision and the one before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp import Client, MCPError
from mcp_types import CallToolResult

from support.mcp_service import (
    MODES,
    called,
    connected,
    failing_nmap,
    hanging_nmap,
    process_of,
    quick_nmap,
    running_service,
    told,
)
from support.polling import until
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import BreakerSettings, QueueSettings
from tracefuse.tools.mcp import _tools as mcp_tools
from tracefuse.tools.service._service import Service

TOOLS = {
    *("nmap_scan", "scan_start", "scan_status", "scan_result", "scan_cancel"),
    *("scan_diff", "scan_history", "list_templates", "explain_policy", "breaker_status"),
}


@pytest.fixture
async def quick(tmp_path: Path, memory: InMemoryTelemetry) -> AsyncIterator[Service]:
    """A service whose nmap answers at once."""
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service:
        yield service


@pytest.fixture
async def hanging(tmp_path: Path, memory: InMemoryTelemetry) -> AsyncIterator[Service]:
    """A service whose nmap finds one host and then hangs."""
    async with running_service(tmp_path, hanging_nmap(tmp_path), memory) as service:
        yield service


async def failed(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The error of a call that must fail."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert result.is_error
    error: dict[str, Any] = result.structured_content["error"]
    assert error["message"] in told(result)
    return error


@pytest.mark.parametrize("mode", MODES)
async def test_every_tool_is_described_for_a_model(quick: Service, mode: str) -> None:
    async with connected(quick, mode) as client:
        tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert tool.title and tool.description and tool.output_schema and tool.annotations
        for schema in (tool.input_schema, tool.output_schema):
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
            assert "$ref" not in json.dumps(schema)
        assert all("description" in field for field in tool.input_schema["properties"].values())
        assert tool.input_schema["additionalProperties"] is False


async def test_annotations_tell_what_reads_and_what_reaches_out(quick: Service) -> None:
    async with connected(quick) as client:
        tools = (await client.list_tools()).tools
    hints = {tool.name: tool.annotations for tool in tools}
    scanning = {name for name, hint in hints.items() if hint and hint.open_world_hint}
    reading = {name for name, hint in hints.items() if hint and hint.read_only_hint}
    assert scanning == {"nmap_scan", "scan_start"}
    assert reading == TOOLS - scanning - {"scan_cancel"}


@pytest.mark.parametrize("mode", MODES)
async def test_a_scan_answers_with_its_summary_and_hosts(quick: Service, mode: str) -> None:
    async with connected(quick, mode) as client:
        result = await client.call_tool("nmap_scan", {"target": "10.0.0.7-8", "extra_args": "-sV -p 22,80"})
    assert isinstance(result, CallToolResult)
    found = result.structured_content
    assert (found["state"], found["complete"], found["hosts_up"], found["ports_open"]) == ("completed", True, 1, 1)
    (host,) = found["hosts"]
    assert (host["address"], host["name"], host["not_listed"]) == ("10.0.0.7", "web.lab.internal", {"closed": 1})
    assert host["ports"][0] == {
        "port": 22,
        "protocol": "tcp",
        "state": "open",
        "service": "ssh",
        "banner": "OpenSSH 9.2p1 (protocol 2.0)",
        "scripts": [],
    }
    assert "22/tcp ssh OpenSSH 9.2p1" in told(result)


@pytest.mark.parametrize("mode", MODES)
async def test_progress_grows_up_to_the_end(quick: Service, mode: str) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with connected(quick, mode) as client:
        await client.call_tool("nmap_scan", {"target": "10.0.0.7-8", "extra_args": "-p 22"}, progress_callback=hear)
    percents = [percent for percent, _, _ in heard]
    assert percents == sorted(set(percents)) and percents[-1] == 100.0
    assert all(total == 100.0 and message for _, total, message in heard)


async def test_a_refusal_teaches_how_to_ask(quick: Service, tmp_path: Path) -> None:
    async with connected(quick) as client:
        error = await failed(client, "nmap_scan", target="8.8.8.8")
        assert (error["type"], error["rule"], error["token"]) == ("policy_violation", "target.network", "8.8.8.8")
        assert (error["field"], error["example"], bool(error["suggestion"])) == ("target", "127.0.0.1", True)
        corrected = await called(client, "nmap_scan", target=error["example"], extra_args="-p 22")
    assert corrected["state"] == "completed"
    assert (tmp_path / "ran").read_text().splitlines() == ["run"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"target": 7}, "target"),
        ({}, "target"),
        ({"target": "10.0.0.7", "timeout_sec": "300"}, "timeout_sec"),
        ({"target": "10.0.0.7", "exclude": "10.0.0.8"}, "exclude"),
        ({"target": "10.0.0.7", "exclude": [1]}, "exclude.0"),
        ({"target": "10.0.0.7", "ports": "22"}, "ports"),
        ({"target": None}, "target"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_with_an_example(
    quick: Service, arguments: dict[str, Any], field: str
) -> None:
    async with connected(quick) as client:
        error = await failed(client, "nmap_scan", **arguments)
        assert (error["type"], error["field"]) == ("invalid_arguments", field)
        assert (await called(client, "explain_policy", **error["example"]))["allowed"] is True


@pytest.mark.parametrize("mode", MODES)
async def test_an_unknown_tool_is_a_protocol_error(quick: Service, mode: str) -> None:
    async with connected(quick, mode) as client:
        with pytest.raises(MCPError, match="Unknown tool; there are nmap_scan") as caught:
            await client.call_tool("rm_rf", {})
    assert caught.value.code == -32602


async def test_a_scan_in_the_background_is_followed_by_its_id(hanging: Service, tmp_path: Path) -> None:
    async with connected(hanging) as client:
        started = await called(client, "scan_start", target="10.0.0.7-8", extra_args="-p 22")
        scan_id = started["scan_id"]
        assert started["state"] in {"queued", "running"} and started["poll_after"] > 0
        await until(lambda: process_of(tmp_path))
        early = await failed(client, "scan_result", scan_id=scan_id)
        assert (early["type"], early["retry_after"] > 0) == ("not_ended", True)
        assert (await called(client, "scan_status", scan_id=scan_id, wait_sec=0.05))["state"] == "running"
    async with connected(hanging) as again:
        stopped = await called(again, "scan_cancel", scan_id=scan_id)
        assert (stopped["cancelled"], stopped["state"]) == (True, "cancelled")
        assert process_of(tmp_path) is None
        found = await called(again, "scan_result", scan_id=scan_id)
        assert (found["state"], found["complete"], found["hosts"][0]["address"]) == ("cancelled", False, "10.0.0.7")
        assert (await called(again, "scan_cancel", scan_id=scan_id))["cancelled"] is False


async def test_a_scan_of_another_process_is_seen_and_not_stopped(
    hanging: Service, tmp_path: Path, memory: InMemoryTelemetry
) -> None:
    async with connected(hanging) as client:
        scan_id = (await called(client, "scan_start", target="10.0.0.7", extra_args="-p 22"))["scan_id"]
    nmap = hanging.settings.nmap.path
    async with running_service(tmp_path, nmap, memory) as other, connected(other) as client:
        assert (await called(client, "scan_status", scan_id=scan_id))["state"] == "running"
        refused = await called(client, "scan_cancel", scan_id=scan_id)
    assert (refused["cancelled"], refused["state"]) == (False, "running")
    assert hanging.jobs.running == 1


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_stops_its_nmap(hanging: Service, tmp_path: Path, mode: str) -> None:
    async with connected(hanging, mode) as client:
        call = asyncio.create_task(client.call_tool("nmap_scan", {"target": "10.0.0.7-8", "extra_args": "-p 22"}))
        await until(lambda: process_of(tmp_path))
        call.cancel()
        await until(lambda: process_of(tmp_path) is None)
        await until(lambda: hanging.jobs.running == 0)
        (scan,) = (await called(client, "scan_history"))["scans"]
        found = await called(client, "scan_result", scan_id=scan["scan_id"])
    assert (found["state"], found["hosts_up"]) == ("cancelled", 1)


async def test_the_difference_to_the_last_scan_of_the_same(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, connected(service) as client:
        old = await called(client, "nmap_scan", target="10.0.0.7-8", extra_args="-p 22,80")
        report = (tmp_path / "report.xml").read_bytes()
        closed = b'portid="80"><state state="closed"'
        (tmp_path / "report.xml").write_bytes(report.replace(closed, closed.replace(b"closed", b"open")))
        new = await called(client, "nmap_scan", target="10.0.0.7-8", extra_args="-p 22,80")
        found = await called(client, "scan_diff", new_scan_id=new["scan_id"])
        assert (found["old_scan_id"], found["changes_total"], found["by_kind"]) == (
            old["scan_id"],
            1,
            {"port_opened": 1},
        )
        assert found["changes"][0]["port"] == 80
        back = await called(client, "scan_diff", new_scan_id=old["scan_id"], old_scan_id=new["scan_id"])
        assert back["by_kind"] == {"port_closed": 1}
        alone = await failed(client, "scan_diff", new_scan_id=old["scan_id"])
        assert (alone["type"], alone["field"]) == ("not_found", "old_scan_id")


async def test_the_history_is_paged_newest_first(quick: Service) -> None:
    async with connected(quick) as client:
        ids = [
            (await called(client, "nmap_scan", target="10.0.0.7", extra_args=f"-p {port}"))["scan_id"]
            for port in range(1, 6)
        ]
        pages, cursor = [], None
        while True:
            arguments = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = await called(client, "scan_history", **arguments)
            pages.append([scan["scan_id"] for scan in page["scans"]])
            if (cursor := page.get("next_cursor")) is None:
                break
        await failed(client, "nmap_scan", target="8.8.8.8")
        refused = await called(client, "scan_history", state="refused")
        assert [scan["target"] for scan in refused["scans"]] == ["8.8.8.8"]
        assert (await failed(client, "scan_history", cursor="'; --"))["field"] == "cursor"
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [scan_id for page in pages for scan_id in page] == ids[::-1]


async def test_explaining_the_policy_runs_nothing(quick: Service, tmp_path: Path) -> None:
    async with connected(quick) as client:
        yes = await called(client, "explain_policy", target="10.0.0.0/30", template="quick")
        no = await called(client, "explain_policy", target="10.0.0.7", extra_args="-oN /tmp/x")
        policy = await called(client, "explain_policy")
    assert (yes["allowed"], yes["plan"]["addresses"]) == (True, 4)
    assert (no["allowed"], no["violation"]["rule"]) == (False, "option.refused")
    assert "allowed" not in policy and policy["policy"]["max_addresses"] == 1024
    assert not (tmp_path / "ran").exists()


async def test_an_open_circuit_says_when_to_come_back(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    threshold = BreakerSettings(failure_threshold=2, recovery_timeout=60)
    async with (
        running_service(tmp_path, failing_nmap(tmp_path), memory, breaker=threshold) as service,
        connected(service) as client,
    ):
        for _ in range(2):
            error = await failed(client, "nmap_scan", target="10.0.0.7")
            assert (error["type"], error["error_type"]) == ("tool_error", "execution_error")
        error = await failed(client, "nmap_scan", target="10.0.0.7")
        assert error["type"] == "circuit_open" and 0 < error["retry_after"] <= 75
        (breaker,) = (await called(client, "breaker_status"))["breakers"]
    assert (breaker["state"], breaker["failures"], breaker["rejected"]) == ("OPEN", 2, 1)


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    narrow = QueueSettings(total=1, per_tool=1, length=1)
    async with (
        running_service(tmp_path, hanging_nmap(tmp_path), memory, queue=narrow) as service,
        connected(service) as client,
    ):
        states = [(await called(client, "scan_start", target="10.0.0.7"))["state"] for _ in range(2)]
        error = await failed(client, "scan_start", target="10.0.0.7")
        assert states == ["running", "queued"]
        assert error["type"] == "queue_full" and error["retry_after"] > 0


async def test_templates_and_policy_are_resources_too(quick: Service) -> None:
    async with connected(quick) as client:
        names = [one["name"] for one in (await called(client, "list_templates"))["templates"]]
        read = await client.read_resource("tracefuse://templates")
        policy = json.loads((await client.read_resource("tracefuse://policy")).contents[0].text)  # type: ignore[union-attr]
    assert [one["name"] for one in json.loads(read.contents[0].text)] == names  # type: ignore[union-attr]
    assert policy["networks"][0] == "127.0.0.0/8"


async def test_results_are_resources(quick: Service) -> None:
    async with connected(quick) as client:
        scan = await called(client, "nmap_scan", target="10.0.0.7-8", extra_args="-p 22,80")
        uri = f"tracefuse://scans/{scan['scan_id']}"
        listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
        texts = [
            (await client.read_resource(one)).contents[0].text  # type: ignore[union-attr]
            for one in (uri, f"{uri}/text", f"{uri}/hosts/10.0.0.7")
        ]
        forms = {one.uri_template for one in (await client.list_resource_templates()).resource_templates}
        for missing in ("tracefuse://scans/none", f"{uri}/hosts/10.9.9.9", "tracefuse://x", "file:///etc/passwd"):
            with pytest.raises(MCPError, match="not found"):
                await client.read_resource(missing)
    assert uri in listed and len(forms) == 3
    assert json.loads(texts[0])["schema"] == "tracefuse.scan/1"
    assert "Nmap scan report for web.lab.internal (10.0.0.7)" in texts[1]
    assert [port["port"] for port in json.loads(texts[2])["ports"]] == [22, 80]


HOSTILE = (
    *("$(reboot)", "; rm -rf /", "--script=/etc/passwd", "-iL /etc/passwd", "10.0.0.7\x00", "\u202e10.0.0.7", "\ud7ff"),
    *(
        "10.0.0.7 8.8.8.8",
        "%s%n",
        "{{7*7}}",
        "10.0.0.0/1",
        "[::]",
        "a" * 100_000,
        "\n\n",
        "\uff10.\uff10.\uff10.\uff10",
        "--",
    ),
)


@pytest.mark.parametrize("mode", MODES)
async def test_hostile_arguments_are_refused_and_nothing_runs(quick: Service, tmp_path: Path, mode: str) -> None:
    async with connected(quick, mode) as client:
        for text in HOSTILE:
            for arguments in (
                {"target": text},
                {"target": "10.0.0.7", "template": text},
                {"target": "10.0.0.7", "exclude": [text]},
                {"target": "10.0.0.7", "correlation_id": text * 200},
                {"target": "10.0.0.7", "extra_args": f"-p {text}"},
            ):
                result = await client.call_tool("nmap_scan", arguments)
                assert isinstance(result, CallToolResult)
                assert result.is_error, arguments
                assert result.structured_content["error"]["type"] in {"policy_violation", "invalid_arguments"}
                assert len(told(result)) < 4_000
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", MODES)
async def test_what_nobody_expected_is_logged_and_not_shown(
    quick: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(type(quick.history), "find", broken)
    async with connected(quick, mode) as client:
        error = await failed(client, "scan_history")
        with pytest.raises(MCPError, match="the service failed; its log says why") as caught:
            await client.list_resources()
    assert error == {"type": "internal_error", "message": "the service failed; its log says why"}
    assert caught.value.code == -32603
    assert caplog.text.count("ZeroDivisionError: secret") == 2


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = sorted({name for tool in mcp_tools.TOOLS.values() for name in tool.takes.model_fields})
calls = st.tuples(
    st.sampled_from(sorted(TOOLS)), st.dictionaries(st.sampled_from(names) | st.text(max_size=8), values, max_size=4)
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(calls, min_size=10, max_size=30))
def test_any_call_is_answered(tmp_path: Path, asked: list[tuple[str, dict[str, Any]]]) -> None:
    async def ask() -> None:
        with InMemoryTelemetry() as memory:
            async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, connected(service) as client:
                for tool, arguments in asked:
                    result = await client.call_tool(tool, arguments)
                    assert isinstance(result, CallToolResult)
                    error = result.structured_content.get("error", {})
                    assert error.get("type") not in {"internal_error", "store_error"}, (tool, arguments)

    asyncio.run(ask())
