"""A service, a collector and a Prometheus that have been through failures and recoveries: something for every panel.

The service scans loopback while its nmap fails and recovers, and the collector's backend refuses, then takes.
Two recorders in this process add what one service on loopback cannot show; each name says why.
"""

from __future__ import annotations

import math
import re
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import StatusCode

from support.cli import COMMAND, environment, script
from support.collector import Collector, free_ports, reaped, running
from support.greeting import greeting
from support.polling import eventually
from support.prometheus import Prometheus, scraping
from tracefuse.telemetry import INSTRUMENTS, Event, Instrument, InstrumentKind, Telemetry, configure, emit_event

__all__ = ["RECORDED", "Live", "living"]

RECORDED = {
    "circuit_breaker.call.duration": "opt-in",
    "tracefuse.queue.length": "needs more scans at once than there are places",
    "tracefuse.queue.wait": "as the queue's length",
    "tracefuse.metrics.repaired": "nothing was wrong with the values",
    "tracefuse.metrics.evictions": "needs more tools than there are",
}
"""Instruments that a recorder records here, and why the service does not."""

PROTOCOL = "2026-07-28"

VALUES = {"tool": "nmap", "name": "nmap", "kind": "port_opened", "reason": "tool limit", "result": "success"}
TURNS = (
    (503, "otelcol_exporter_enqueue_failed"),
    (400, "otelcol_exporter_send_failed"),
    (200, "otelcol_exporter_sent"),
    (200, "otelcol_exporter_sent"),
)
"""What the collector's backend answers, turn by turn, and what the collector then counts."""


class Backend(ThreadingHTTPServer):
    """Takes OTLP over HTTP, or answers `status`: 503 means later, 400 means never."""

    daemon_threads = True
    status = 503

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(self.server.status)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""


@contextmanager
def backend() -> Iterator[Backend]:
    with Backend(("127.0.0.1", 0), Backend.Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


class Scanner:
    """The service, on an nmap that can be broken and mended."""

    def __init__(self, url: str, broken: Path, port: int) -> None:
        self.url = url
        self.broken = broken
        self.port = port
        self.traces: set[str] = set()

    def scan(self, target: str = "127.0.0.1") -> int:
        answer = httpx.post(
            f"{self.url}/scans", json={"targets": [target], "extra_args": f"-p {self.port}"}, timeout=30
        )
        if answer.is_success:
            self.traces.add(answer.json()["trace_id"])
        return answer.status_code

    def list_tools(self) -> None:
        """An MCP request, in a trace of ours."""
        trace = secrets.token_hex(16)
        meta = {
            "io.modelcontextprotocol/protocolVersion": PROTOCOL,
            "io.modelcontextprotocol/clientInfo": {"name": "live", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
            "traceparent": f"00-{trace}-{trace[:16]}-01",
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
        headers = {"mcp-protocol-version": PROTOCOL, "mcp-method": "tools/list"}
        headers |= {"accept": "application/json, text/event-stream"}
        httpx.post(f"{self.url}/mcp", json=body, headers=headers).raise_for_status()
        self.traces.add(trace)

    def round(self) -> None:
        """Rejections until the breaker lets a scan through, a refusal by policy, a failure that opens the breaker."""
        eventually(lambda: self.scan() == 200, "the breaker to let a scan through")
        self.list_tools()
        assert self.scan("8.8.8.8") == 422
        self.broken.touch()
        assert self.scan() in {502, 503}
        self.broken.unlink()


@contextmanager
def serving(collector: Collector, directory: Path, port: int, watched: int) -> Iterator[Scanner]:
    """The service, which looks at the port `watched` every two seconds, as scheduled."""
    broken = directory / "broken"
    settings = directory / "tracefuse.toml"
    settings.write_text(f'[schedules.lab]\ntargets = ["127.0.0.1"]\nextra_args = "-p {watched}"\nevery = "2s"\n')
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.grpc}",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "TRACEFUSE_CONFIG": str(settings),
        "TRACEFUSE_SERVE_MCP": "http",
        "TRACEFUSE_NMAP_PATH": script(directory / "nmap", f'test -e {broken} && exit 1\nexec nmap "$@"'),
        "TRACEFUSE_RETRY_ATTEMPTS": "1",
        "TRACEFUSE_BREAKER_FAILURE_THRESHOLD": "1",
        "TRACEFUSE_BREAKER_RECOVERY_TIMEOUT": "1",
    }
    command = [*COMMAND, "serve", "--port", "0"]
    env = environment(directory / "cache", XDG_STATE_HOME=str(directory / "state"), **variables)
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process, reaped(process):
        assert process.stdout is not None
        scanner = Scanner(process.stdout.readline().split()[-1], broken, port)
        process.send_signal(signal.SIGHUP)
        yield scanner


def recorder(collector: Collector, name: str, **variables: str) -> Telemetry:
    own = {
        "OTEL_SERVICE_NAME": name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.grpc}",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }
    return configure(own | variables, set_global=False)


def record(telemetry: Telemetry, row: Instrument) -> None:
    """One value of an instrument, in the current span."""
    held = telemetry.instrumentation
    attributes = {key: VALUES.get(key, key) for key in row.attributes}
    match row.kind:
        case InstrumentKind.HISTOGRAM:
            held.histogram(row.name).record(0.2, attributes)
        case InstrumentKind.COUNTER:
            held.counter(row.name).add(1, attributes)
        case InstrumentKind.UP_DOWN_COUNTER:
            held.up_down_counter(row.name).add(1, attributes)
        case _:
            observed = [Observation(1, attributes)]

            def callback(_: CallbackOptions) -> list[Observation]:
                return observed

            held.observe(row.name, callback)


def record_all(telemetry: Telemetry) -> None:
    with telemetry.instrumentation.tracer.start_as_current_span("tools/call nmap"):
        for name in RECORDED:
            record(telemetry, INSTRUMENTS[name])


def lose(telemetry: Telemetry, count: int, size: int, status: StatusCode = StatusCode.ERROR) -> None:
    """`count` spans with an event each, which is also a log record, of `size` bytes; as errors they are all kept."""
    held = telemetry.instrumentation
    for _ in range(count):
        with held.tracer.start_as_current_span("bulk") as span:
            span.set_status(status)
            emit_event(held.logger, Event.SCAN_HOST, {"address": "x" * size})


class Live:
    """Everything that runs, and what was scanned."""

    def __init__(self, prometheus: Prometheus, scanner: Scanner) -> None:
        self.prometheus = prometheus
        self.scanner = scanner

    def answer(self, expression: str) -> list[float]:
        """The finite values of a query that has any before the deadline."""

        def asked() -> list[float]:
            values = [float(series["value"][1]) for series in self.prometheus.query(expression)]
            return [value for value in values if math.isfinite(value)]

        return eventually(asked, f"data for {expression}", deadline=10)

    def await_turn(self, turn: int, collector: Collector, counted: str) -> None:
        """Until the collector has counted, and Prometheus has seen this turn by itself: a rate needs two points."""
        for item in ("spans", "log_records"):
            eventually(lambda name=f"{counted}_{item}": collector.own_value(name), f"{counted}_{item}")
        if turn:
            closings = 'sum(circuit_breaker_transitions_total{to_state="CLOSED"})'
            eventually(lambda: self.answer(closings) == [turn], "Prometheus to see the recovery")


@contextmanager
def living(collector_binary: Path, directory: Path) -> Iterator[Live]:
    """Everything runs and has been through all turns; ended on the way out."""
    with ExitStack() as stack:
        owed = stack.enter_context(backend())
        # The smallest queue that its batches allow, so that it can be filled.
        settings = {
            "OTELCOL_BACKEND": "otlp_http",
            "OTELCOL_BACKEND_HTTP": f"http://127.0.0.1:{owed.server_port}",
            "OTELCOL_QUEUE_BYTES": "300000",
            "OTELCOL_RETRY_MAX_INTERVAL": "1s",
            # Metrics of spans soon, and a trace that is larger than one may be.
            "OTELCOL_DERIVED_INTERVAL": "500ms",
            "OTELCOL_SAMPLE_PERCENT": "1",
            "OTELCOL_SAMPLE_TRACE_BYTES": "1000000",
        }
        collector = stack.enter_context(running(collector_binary, directory, settings))
        prometheus = stack.enter_context(scraping(collector, directory))
        (watched,) = free_ports(1)
        scanner = stack.enter_context(serving(collector, directory, stack.enter_context(greeting()), watched))
        steady, cut_off = recorder(collector, "recorder"), recorder(collector, "cut-off", **nowhere())
        for telemetry in (steady, cut_off):
            stack.callback(telemetry.shutdown, 2.0)
        live = Live(prometheus, scanner)
        for turn, (status, counted) in enumerate(TURNS):
            owed.status = status
            scanner.round()
            record_all(steady)
            lose(steady, 2, 400_000)
            lose(steady, 1, 1_500_000, StatusCode.OK)
            lose(cut_off, 50, 10)
            live.await_turn(turn, collector, counted)
        # Found closed until now: a change, which the dashboards show and an alert tells of.
        stack.enter_context(socket.create_server(("127.0.0.1", watched)))
        miss_an_export(collector, scanner)
        yield live


def nowhere() -> dict[str, str]:
    """For traces and logs that find nobody, and nearly no room to wait in."""
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    return {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_MAX_QUEUE_SIZE": "1",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "1",
    }


def miss_an_export(collector: Collector, scanner: Scanner) -> None:
    """Freeze the collector until an export of metrics has failed; the next one tells of it."""
    collector.process.send_signal(signal.SIGSTOP)
    try:
        failed = re.compile(r'^otel_sdk_exporter_metric_data_point_exported_total\{.*error_type="\w', re.MULTILINE)
        eventually(lambda: failed.search(httpx.get(f"{scanner.url}/metrics").text), "an export to fail")
    finally:
        collector.process.send_signal(signal.SIGCONT)
