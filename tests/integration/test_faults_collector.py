"""The collector is missing or dies: scans run on, the service says so once, and delivery resumes by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from support.collector import free_ports, running
from support.components import component
from support.faulty_backend import FaultyBackend
from support.faulty_sender import sending
from support.faulty_service import FIXED, ScanService, serving
from support.polling import eventually

if TYPE_CHECKING:
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = [pytest.mark.timeout(600), component("nmap")]

NOT, AGAIN = "cannot be delivered", "are delivered"


def test_scans_run_on_without_a_collector_and_delivery_resumes_by_itself(
    collector_binary: Path, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    with FaultyBackend() as backend, serving(port, tmp_path) as service, ThreadPoolExecutor(1) as pool:
        environ = backend.environ | {"OTELCOL_OTLP_GRPC": f"127.0.0.1:{port}"}
        eventually(lambda: service.scan() and told(service, NOT) == (1, 1, 1), "a line for each signal")
        eventually(lambda: service.exporters() == "degraded", "the readiness probe to say so")
        says_so(service)
        with running(collector_binary, tmp_path, environ) as collector:
            eventually(lambda: service.scan() and backend.span_ids(), "spans to arrive")
            eventually(lambda: service.exporters() == "healthy", "the readiness probe to say so")
            during = pool.submit(service.scan, FIXED)
            eventually(lambda: service.value("mcp_tool_active") == 1, "the scan to run")
            collector.kill()
            assert during.result()["report"]["hosts"], "a scan that ran when the collector died"
        eventually(lambda: service.scan() and told(service, NOT) == (2, 2, 2), "a second line for each signal")
        assert service.exporters() == "degraded"
        arrived = backend.span_ids()
        with running(collector_binary, tmp_path, environ):
            eventually(lambda: service.scan() and backend.span_ids() - arrived, "spans to arrive again")
            eventually(lambda: service.exporters() == "healthy", "the readiness probe to say so")
    assert told(service, NOT) == told(service, AGAIN) == (2, 2, 2), service.log()


def told(service: ScanService, what: str) -> tuple[int, ...]:
    """How many lines say this, of spans, log records and metrics."""
    return tuple(service.log().count(f"telemetry: {signal} {what}") for signal in ("spans", "log records", "metrics"))


def says_so(service: ScanService) -> None:
    """Whether the service's own /metrics tell of the failure: of exports, and of the check."""
    for item in ("span", "log"):
        failed = f"otel_sdk_exporter_{item}_exported_total"
        eventually(lambda failed=failed: service.value(failed, 'error_type="[^"]'), f"{failed} with an error")
    eventually(lambda: service.value("tracefuse_health_status", 'name="exporters"') == 1, "the check among the metrics")


def test_without_a_collector_memory_is_bounded_and_each_span_is_counted(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    with sending(nobody, tmp_path) as sender:
        sender.record(5_000)
        before = sender.do("usage")["peak"]
        sender.record(20_000)
        assert sender.do("usage")["peak"] - before < 10 * 1024, "KiB more for four times as many spans"
        found = sender.do("health")
        assert found["status"] == "degraded"
        report = sender.do("stop")
    assert report["spans_lost"] == 25_000
    assert sender.log().count("telemetry: spans cannot be delivered") == 1
