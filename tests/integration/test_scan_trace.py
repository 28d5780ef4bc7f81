"""The trace of a real scan at a real OTLP receiver, and a scan beside a receiver in trouble."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import environment, tracefuse
from support.components import nmap_needed
from support.greeting import greeting
from support.otlp import OtlpReceiver, attributes

pytestmark = nmap_needed

_STATUS_ERROR = 2


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of loopback where a service greets."""
    with greeting() as port:
        yield port


def tree(spans: list[Any]) -> dict[str, str | None]:
    """Each span's name and the name of its parent."""
    names = {span.span_id: span.name for span in spans}
    return {span.name: names.get(span.parent_span_id) for span in spans}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_scan_is_one_trace_with_the_phases_of_nmap(
    tmp_path: Path, listening: int, otlp_receiver: Callable[..., OtlpReceiver], protocol: str
) -> None:
    receiver = otlp_receiver(protocol)
    env = environment(tmp_path / "cache", **receiver.environ)
    ran = tracefuse("scan", "127.0.0.1", "--args", f"-sV -p {listening}", "--json", env=env)
    assert (ran.code, ran.err) == (0, "")

    spans = receiver.spans()
    assert {span.trace_id.hex() for span in spans} == {ran.json["trace_id"]}
    parents = tree(spans)
    assert parents["nmap scan"] is None
    assert parents["attempt"] == "nmap scan"
    assert parents["nmap"] == "attempt"
    phases = {name: parent for name, parent in parents.items() if name.startswith("phase ")}
    assert {"phase Service scan"} <= set(phases)
    assert set(phases.values()) == {"nmap"}

    by_name = {span.name: span for span in spans}
    for name in phases:
        assert by_name[name].start_time_unix_nano <= by_name[name].end_time_unix_nano
        assert by_name[name].end_time_unix_nano <= by_name["nmap"].end_time_unix_nano
    scan = attributes(by_name["nmap scan"])
    assert scan["tracefuse.scan.template"] == "quick"
    assert scan["tracefuse.targets.count"] == 1
    assert scan["tracefuse.policy.outcome"] == "allowed"
    assert scan["tracefuse.caller.kind"] == "cli"
    assert (scan["tracefuse.hosts.up"], scan["tracefuse.ports.open"], scan["tracefuse.complete"]) == (1, 1, True)
    assert [event.name for event in by_name["nmap scan"].events] == ["scan.host"]
    process = attributes(by_name["nmap"])
    assert process["process.executable.name"] == "nmap"
    assert process["process.exit.code"] == 0
    assert "process.command_args" not in process

    (host,) = [record for record in receiver.logs() if record.event_name == "scan.host"]
    assert host.trace_id == by_name["nmap"].trace_id
    assert attributes(host)["ports.open"] == 1
    assert "mcp.tool.execution" in {metric.name for metric in receiver.metrics()}


def test_a_refused_request_is_a_trace_as_well(tmp_path: Path, otlp_receiver: Callable[..., OtlpReceiver]) -> None:
    receiver = otlp_receiver("grpc")
    tracefuse("scan", "8.8.8.8", env=environment(tmp_path, **receiver.environ))
    (span,) = receiver.spans()
    assert attributes(span)["tracefuse.policy.rule"] == "target.network"
    assert [event.name for event in span.events] == ["policy.refused"]
    assert not [value for value in map(str, attributes(span).values()) if "8.8.8.8" in value]


def test_targets_can_be_kept_out_and_arguments_let_in(
    tmp_path: Path, listening: int, otlp_receiver: Callable[..., OtlpReceiver]
) -> None:
    receiver = otlp_receiver("grpc")
    env = environment(tmp_path, TRACEFUSE_TELEMETRY_REDACT_TARGETS="true", **receiver.environ)
    tracefuse("scan", "127.0.0.7", "--args", f"-p {listening}", env=env)
    assert b"127.0.0.7" not in b"".join(span.SerializeToString() for span in receiver.spans())
    assert b"127.0.0.7" not in b"".join(record.SerializeToString() for record in receiver.logs())

    told = otlp_receiver("grpc")
    env = environment(tmp_path, TRACEFUSE_TELEMETRY_RECORD_ARGUMENTS="true", **told.environ)
    tracefuse("scan", "127.0.0.7", "--args", f"-p {listening}", env=env)
    (process,) = [span for span in told.spans() if span.name == "nmap"]
    assert "127.0.0.7" in str(attributes(process)["process.command_args"])


def test_a_failed_attempt_shows_in_the_trace(tmp_path: Path, otlp_receiver: Callable[..., OtlpReceiver]) -> None:
    receiver = otlp_receiver("grpc")
    env = environment(tmp_path, TRACEFUSE_RETRY_ATTEMPTS="1", **receiver.environ)
    ran = tracefuse("scan", "127.0.0.1", "--args", "-p- --max-rate 10", "--timeout", "0.5", env=env)
    assert ran.code == 1
    status = {span.name: span.status.code for span in receiver.spans()}
    assert {status["nmap scan"], status["attempt"], status["nmap"]} == {_STATUS_ERROR}
    cut = [span for span in receiver.spans() if span.name.startswith("phase ")]
    assert cut
    assert cut[-1].status.message == "cut short"


@pytest.mark.parametrize("mode", ["refusing", "hanging", "slow", "unavailable"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_in_trouble_neither_slows_the_scan_nor_holds_up_the_exit(
    tmp_path: Path, listening: int, otlp_receiver: Callable[..., OtlpReceiver], protocol: str, mode: str
) -> None:
    receiver = otlp_receiver(protocol, mode)
    deadline = 2.0
    env = environment(tmp_path, TRACEFUSE_TELEMETRY_SHUTDOWN_DEADLINE=str(deadline), **receiver.environ)
    alone = tracefuse("scan", "127.0.0.1", "--args", f"-p {listening}", "--json", env=environment(tmp_path))
    began = time.monotonic()
    ran = tracefuse("scan", "127.0.0.1", "--args", f"-p {listening}", "--json", env=env)
    took = time.monotonic() - began
    assert ran.code == 0
    assert ran.json["report"]["hosts"]
    # Bounds of behaviour, not of speed: the deadline, and the start of an interpreter.
    assert took < deadline + 8.0
    assert ran.json["duration"] < alone.json["duration"] + 1.0
    if mode == "slow":
        assert ran.err == "" or ran.err.startswith("tracefuse: telemetry:")
    else:
        assert ran.err.count("\n") == 1, ran.err
        assert ran.err.startswith("tracefuse: telemetry: ")
        assert "not delivered to http" in ran.err
