"""The known face of the scan tool with the real nmap."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import running_under, script
from support.components import nmap_needed
from support.greeting import greeting
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import NmapTool, ScanTemplate, Settings, ToolInput, build
from tracefuse.tools.nmap import parse_nmap_output

CIRCUIT = {"failure_threshold": 3, "recovery_timeout": 60}


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of loopback where a service greets."""
    with greeting() as port:
        yield port


def tool_of(folder: Path, memory: InMemoryTelemetry, **sections: Any) -> NmapTool:
    settings = Settings.model_validate({"cache_dir": folder, "retry": {"attempts": 1}, **sections})
    return NmapTool(build(settings, instrumentation=memory.telemetry.instrumentation))


def value(point: Any) -> float:
    """What a point of a counter holds."""
    return float(point.value)


@nmap_needed
def test_a_service_is_found_and_said_in_every_form(tmp_path: Path, memory: InMemoryTelemetry, listening: int) -> None:
    tool = tool_of(tmp_path, memory)
    asked = ToolInput(target="127.0.0.1", extra_args=f"-sV -p {listening}")
    output = asyncio.run(tool.run(asked, 60))
    assert output.is_success(), output.error
    assert output.report is not None and output.metadata is not None
    (port,) = output.report.hosts[0].open_ports
    assert port.number == listening and port.service is not None and port.service.product == "OpenSSH"
    assert f"{listening}/tcp open" in output.stdout and "OpenSSH" in output.stdout
    assert parse_nmap_output(output.xml).hosts == output.report.hosts
    (found,) = tool.parse_scan_result(output.stdout).services
    assert (found["host"], found["port"], found["service"]) == ("127.0.0.1", listening, "ssh")
    assert output.metadata["trace_id"]


@nmap_needed
@pytest.mark.parametrize("template", [ScanTemplate.QUICK, ScanTemplate.DISCOVERY])
def test_templates_run_and_tell_how_far_they_are(
    tmp_path: Path, memory: InMemoryTelemetry, template: ScanTemplate
) -> None:
    told: list[float] = []
    tool = tool_of(tmp_path, memory)
    output = asyncio.run(
        tool.run_with_template("127.0.0.1", template, 60, progress_callback=lambda now: told.append(now.percent))
    )
    assert output.is_success(), output.error
    assert "Nmap done: 1 IP address (1 host up)" in output.stdout
    assert told == sorted(told) and told[-1] == 100


@nmap_needed
def test_a_timeout_is_124_and_leaves_no_process(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    tool = tool_of(tmp_path, memory)
    asked = ToolInput(target="127.0.0.1", extra_args="-p- --max-rate 10", timeout_sec=1)
    output = asyncio.run(tool.run(asked))
    assert (output.returncode, output.timed_out, output.error_type) == (124, True, "timeout")
    assert output.stderr == "Process timed out after 1s"
    assert output.report is not None and output.report.incomplete_reason == "timeout"
    assert not running_under(tmp_path)


@nmap_needed
def test_arguments_that_once_added_a_target_or_wrote_a_file_do_nothing(
    tmp_path: Path, memory: InMemoryTelemetry
) -> None:
    tool = tool_of(tmp_path, memory)
    for arguments in ('"-p=80 2130706433"', "-oX", '--spoof-mac "00:11:22:33:44:55 2130706433"', "-oN x", "-PS 22"):
        output = asyncio.run(tool.run(ToolInput(target="127.0.0.2", extra_args=arguments)))
        assert output.error_type == "validation_error", arguments
    assert not list(tmp_path.rglob("127.0.0.2")) and not Path("127.0.0.2").exists() and not Path("x").exists()
    assert not memory.points("mcp.tool.execution"), "nothing was run"


def test_a_missing_nmap_is_127(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    tool = tool_of(tmp_path, memory, nmap={"path": str(tmp_path / "nmap")})
    output = asyncio.run(tool.run(ToolInput(target="127.0.0.1")))
    assert (output.returncode, output.error_type) == (127, "not_found")
    assert "install" in output.ensure_metadata()["recovery_suggestion"]


def test_failures_open_the_circuit_and_every_count_agrees(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    failing = script(tmp_path / "nmap", '[ "$1" = --version ] && { echo "Nmap version 7.93"; exit 0; }; exit 1')
    tool = tool_of(tmp_path / "cache", memory, nmap={"path": failing}, breaker=CIRCUIT)
    kinds = [asyncio.run(tool.run(ToolInput(target="127.0.0.1"))).error_type for _ in range(5)]
    assert kinds == ["execution_error"] * 3 + ["circuit_breaker_open"] * 2
    assert tool.get_tool_info()["circuit_breaker"]["state"] == "OPEN"
    assert tool.validate_configuration()["warnings"]
    stats = tool.app.breaker.get_stats()["stats"]
    assert (stats["failed_calls"], stats["rejected_calls"]) == (3, 2)
    told = {(point.attributes or {})["result"]: value(point) for point in memory.points("circuit_breaker.calls")}
    assert (told["failure"], told["rejected"]) == (3, 2)
    assert sum(map(value, memory.points("mcp.tool.execution"))) == 5
    assert list((tmp_path / "cache/runs").iterdir()) == []
