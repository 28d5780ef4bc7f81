"""Traces and logs through a real collector: unchanged, and all of them, whatever happens to the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from support.collector import running, sending_to
from support.otlp import OtlpReceiver
from support.polling import eventually
from support.service import Protocol, service
from tracefuse.telemetry import Event

if TYPE_CHECKING:
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)


def trace_ids(received: list[Any]) -> set[str]:
    return {one.trace_id.hex() for one in received}


@pytest.mark.parametrize(("way_in", "way_out"), [("grpc", "grpc"), ("http", "http/protobuf")])
def test_a_backend_gets_traces_and_logs_unchanged(
    collector_binary: Path, tmp_path: Path, way_in: Protocol, way_out: Literal["grpc", "http/protobuf"]
) -> None:
    with OtlpReceiver(way_out) as tempo, running(collector_binary, tmp_path, sending_to(tempo)) as collector:
        with service(collector, way_in) as scanner:
            trace_id = scanner.scan()
        eventually(lambda: tempo.spans() and tempo.logs(), "a span and a log record at the backend")
    (span,), (record,) = tempo.spans(), tempo.logs()
    assert span.name == "nmap scan"
    assert span.trace_id.hex() == record.trace_id.hex() == trace_id
    assert [event.name for event in span.events] == [record.event_name] == [Event.TRANSITION]
    assert not span.attributes, "what the redaction carried through attributes is taken out again"
    assert not tempo.metrics(), "metrics go to Prometheus only, unless asked otherwise"


def test_a_backend_that_is_down_gets_everything_when_it_is_up(collector_binary: Path, tmp_path: Path) -> None:
    with (
        OtlpReceiver(mode="unavailable") as tempo,
        running(collector_binary, tmp_path, sending_to(tempo)) as collector,
        service(collector) as scanner,
    ):
        sent = {scanner.scan() for _ in range(200)}
        scanner.record_kept()
        scanner.flush()
        assert tempo.arrived.wait(20), "the collector tries"
        assert "mcp_tool_execution_total" in collector.metrics(), "Prometheus is served meanwhile"
        tempo.mode = "normal"
        eventually(lambda: sent <= trace_ids(tempo.spans()), "every span")
        eventually(lambda: sent <= trace_ids(tempo.logs()), "every log record")
    assert len(tempo.logs()) == len(sent), "nothing arrives twice"


def test_what_was_queued_survives_a_crash_of_the_collector(collector_binary: Path, tmp_path: Path) -> None:
    with OtlpReceiver(mode="refusing") as down, running(collector_binary, tmp_path, sending_to(down)) as collector:
        with service(collector) as scanner:
            sent = {scanner.scan() for _ in range(50)}
        # What was kept of the traces is on disk a moment after it was accepted.
        eventually(lambda: all(bytes.fromhex(one) in collector.stored("traces") for one in sent), "all of them on disk")
        collector.kill()
    with OtlpReceiver() as tempo, running(collector_binary, tmp_path, sending_to(tempo)):
        eventually(lambda: sent <= trace_ids(tempo.spans()), "every span")
        eventually(lambda: sent <= trace_ids(tempo.logs()), "every log record")
