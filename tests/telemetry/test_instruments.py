"""The verbs of tools and scans: what they record, and that they never raise."""

from __future__ import annotations

from typing import Any

import pytest

from tracefuse.telemetry import TOOL_ERROR_TYPES, ScanInstruments, ToolInstruments
from tracefuse.telemetry.testing import InMemoryTelemetry


def test_a_success_has_no_error_type(memory: InMemoryTelemetry) -> None:
    tools = ToolInstruments(memory.telemetry.instrumentation)
    tools.start("nmap")
    assert memory.metric("mcp.tool.active", tool="nmap") == 1
    tools.finish("nmap", "success", "timeout", seconds=2.0)
    assert memory.metric("mcp.tool.active", tool="nmap") == 0
    assert memory.metric("mcp.tool.execution", tool="nmap", status="success", error_type="none") == 1
    assert memory.metric("mcp.tool.execution.seconds", tool="nmap") == 1
    assert memory.metric("mcp.tool.errors") is None


@pytest.mark.parametrize(
    ("given", "recorded"),
    [("timeout", "timeout"), (None, "none"), ("Connection to 10.0.0.1 failed", "other"), ("", "other")],
)
def test_a_failure_has_an_error_type_of_a_bounded_set(
    memory: InMemoryTelemetry, given: str | None, recorded: str
) -> None:
    ToolInstruments(memory.telemetry.instrumentation).finish("nmap", "failure", given, seconds=0.1)
    assert memory.metric("mcp.tool.execution", status="failure", error_type=recorded) == 1
    assert memory.metric("mcp.tool.errors", tool="nmap", error_type=recorded) == 1


def test_a_thousand_error_texts_make_one_series(memory: InMemoryTelemetry) -> None:
    tools = ToolInstruments(memory.telemetry.instrumentation)
    for number in range(1000):
        tools.finish("nmap", "failure", f"error {number}", seconds=0.1)
    assert len(memory.points("mcp.tool.errors")) == 1


def test_the_bounded_set_can_be_another(memory: InMemoryTelemetry) -> None:
    tools = ToolInstruments(memory.telemetry.instrumentation, error_types=TOOL_ERROR_TYPES | {"moon"})
    tools.finish("nmap", "failure", "moon", seconds=0.1)
    assert memory.metric("mcp.tool.errors", error_type="moon") == 1


def test_scans_are_counted_by_what_they_found(memory: InMemoryTelemetry) -> None:
    scans = ScanInstruments(memory.telemetry.instrumentation)
    scans.queued("nmap", "total limit")
    assert memory.metric("tracefuse.queue.length", reason="total limit") == 1
    scans.admitted("nmap", "total limit", waited=1.5)
    scans.hosts("nmap", "up", 3)
    scans.ports("nmap", "open", 7)
    scans.changes("nmap", "port_opened", 2)
    scans.refused("nmap", "target")
    scans.ended("nmap", "success", seconds=12.0)
    expected = {
        "tracefuse.queue.length": 0,
        "tracefuse.queue.wait": 1,
        "tracefuse.scan.hosts": 3,
        "tracefuse.scan.ports": 7,
        "tracefuse.scan.changes": 2,
        "tracefuse.policy.refusals": 1,
        "tracefuse.scan.duration": 1,
    }
    assert {name: memory.metric(name, tool="nmap") for name in expected} == expected


def test_recording_never_raises(memory: InMemoryTelemetry) -> None:
    tools, scans = ToolInstruments(memory.telemetry.instrumentation), ScanInstruments(memory.telemetry.instrumentation)
    wrong: Any
    for wrong in (None, object(), [], float("nan"), "x" * 10_000_000):
        tools.start(wrong)
        tools.finish(wrong, wrong, wrong, seconds=wrong)
        scans.hosts(wrong, wrong, wrong)
        scans.ended(wrong, wrong, seconds=wrong)
    assert memory.telemetry.exposition().body


def test_they_follow_the_global_providers_by_default() -> None:
    ToolInstruments().start("nmap")
    ScanInstruments().refused("nmap", "target")


def test_series_are_there_before_their_first_event(memory: InMemoryTelemetry) -> None:
    scans = ScanInstruments(memory.telemetry.instrumentation)
    scans.declare("nmap", rules=["target.network"], kinds=["port.opened"], host_states=["up"], port_states=["open"])
    text = memory.telemetry.exposition().body.decode()
    for series in (
        'tracefuse_policy_refusals_total{rule="target.network",tool="nmap"} 0.0',
        'tracefuse_scan_changes_total{kind="port.opened",tool="nmap"} 0.0',
        'tracefuse_scan_hosts_total{state="up",tool="nmap"} 0.0',
        'tracefuse_scan_ports_total{state="open",tool="nmap"} 0.0',
    ):
        assert series in text
    scans.refused("nmap", "target.network")
    assert memory.metric("tracefuse.policy.refusals", rule="target.network") == 1
