"""otel-collector.yaml in a real collector: what goes in, what comes out at each end, and what must never come out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.parse
from typing import TYPE_CHECKING, Any, Literal

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics.view import View
from opentelemetry.trace import Status, StatusCode
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.support.collector import (
    CONFIGURATION,
    ROOT,
    Collector,
    CollectorMissingError,
    find_collector,
    free_ports,
    get,
    isolated,
    reaped,
    running,
)
from tests.support.otlp import OtlpReceiver
from tests.support.polling import eventually
from tests.support.service import Protocol, Service, service

from tracefuse.telemetry import INSTRUMENTS, Event, Instrument, InstrumentKind, SeverityNumber, emit_event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentelemetry.metrics import CallbackOptions
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(900)

KEPT = {row.prometheus: row for row in INSTRUMENTS.values() if row.kept}
VALUES = {"tool": "nmap", "status": "success", "error.type": "", "name": "nmap", "result": "success"} | {
    "from_state": "closed",
    "to_state": "open",
}
CANARY = "c4n4ry-zq7"


@pytest.fixture(scope="session")
def binary() -> Path:
    try:
        return find_collector()
    except CollectorMissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs a collector: {missing}")
        pytest.skip(f"{missing} (then: make collector)")


def ask(binary: Path, command: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [binary, *command.split(), "--config", CONFIGURATION],
        env=isolated(environ or {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


# --- the configuration ---


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTELCOL_BACKEND": "otlp_grpc", "OTELCOL_BACKEND_GRPC": "tempo:4317", "OTELCOL_BACKEND_INSECURE": "true"},
        {"OTELCOL_BACKEND": "otlp_http", "OTELCOL_BACKEND_HTTP": "https://otlp.example.com"},
        {"OTELCOL_LOGS_TO": "otlp_http", "OTELCOL_BACKEND_HTTP_LOGS": "http://loki:3100/otlp/v1/logs"},
        {"OTELCOL_METRICS_TO": "otlp_http", "OTELCOL_BACKEND_HEADERS": '{"authorization": "Bearer of-something"}'},
        {"OTELCOL_TARGETS": "redact"},
        {"OTELCOL_TARGETS": "redact", "OTELCOL_TARGETS_HASH": "hmac-sha256", "OTELCOL_TARGETS_HASH_KEY": "k" * 32},
    ],
    ids=lambda environ: ",".join(environ) or "nothing set",
)
def test_the_collector_accepts_the_configuration(binary: Path, environ: dict[str, str]) -> None:
    answer = ask(binary, "validate", environ)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTELCOL_BACKEND": "tempo"}, 'exporter "tempo" which is not configured'),
        ({"OTELCOL_TARGETS": "drop"}, 'processor "redaction/targets_drop" which is not configured'),
        ({"OTELCOL_TARGETS_HASH": "hmac-sha256"}, "hmac_key must not be empty"),
        ({"OTELCOL_QUEUE_BYTES": "0"}, "`queue_size` must be positive"),
    ],
)
def test_the_collector_names_what_is_wrong_and_does_not_start(
    binary: Path, environ: dict[str, str], named: str
) -> None:
    answer = ask(binary, "validate", environ)
    assert answer.returncode != 0
    assert named in answer.stderr


def test_the_manifest_has_exactly_the_components_of_the_configuration(binary: Path) -> None:
    if binary.name != "otelcol-tracefuse":
        pytest.skip(f"{binary} was not built from deploy/collector/manifest.yaml")
    printed = json.loads(ask(binary, "print-config --format json").stdout)
    used = {
        name.partition("/")[0]
        for kind in ("receivers", "processors", "exporters", "extensions")
        for name in printed[kind]
    }
    listed = subprocess.run([binary, "components"], capture_output=True, text=True, timeout=30, check=True).stdout
    components, _, _ = listed.partition("\nproviders:")
    built = {line.split()[2] for line in components.splitlines() if line.strip().startswith("- name:")}
    assert built == used


# --- metrics ---


def record_kept(running_service: Service) -> str:
    """Record each of the seven kept metrics once; the trace id of the span that was current."""
    held = running_service.instrumentation
    with held.tracer.start_as_current_span("nmap scan") as span:
        for row in KEPT.values():
            record(running_service, row)
        return f"{span.get_span_context().trace_id:032x}"


def record(running_service: Service, row: Instrument) -> None:
    held, attributes = running_service.instrumentation, {key: VALUES[key] for key in row.attributes}

    def observed(_: CallbackOptions) -> list[Observation]:
        return [Observation(1, attributes)]

    match row.kind:
        case InstrumentKind.COUNTER:
            held.counter(row.name).add(1, attributes)
        case InstrumentKind.UP_DOWN_COUNTER:
            held.up_down_counter(row.name).add(1, attributes)
        case InstrumentKind.HISTOGRAM:
            held.histogram(row.name).record(0.2, attributes)
        case _:
            held.observe(row.name, observed)


def families(collector: Collector) -> dict[str, Metric]:
    """What the collector exposes, by the name of the first sample: `x_total` for a counter."""
    parsed = text_string_to_metric_families(collector.metrics())
    return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in parsed}


def sample_of(family: Metric) -> Sample:
    suffix = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
    return next(sample for sample in family.samples if sample.name == family.name + suffix)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_seven_kept_metrics_come_out_with_their_names_labels_and_buckets(
    binary: Path, tmp_path: Path, protocol: Protocol
) -> None:
    with running(binary, tmp_path) as collector, service(collector, protocol) as scanner:
        record_kept(scanner)
        scanner.flush()
        exposed = families(collector)
    assert set(exposed) - {"target_info"} == set(KEPT)
    for name, row in KEPT.items():
        labels = {key.replace(".", "_"): VALUES[key] for key in row.attributes}
        labels |= {"job": "scanner", "instance": "scanner-1"}
        found = dict(sample_of(exposed[name]).labels)
        bound = found.pop("le", None)
        assert {key: value for key, value in found.items() if value} == {k: v for k, v in labels.items() if v}, name
        assert exposed[name].documentation == row.description
        assert (bound is None) == (row.boundaries is None)
    histogram = exposed["mcp_tool_execution_seconds"]
    bounds = [float(sample.labels["le"]) for sample in histogram.samples if "le" in sample.labels]
    assert bounds == [*(INSTRUMENTS["mcp.tool.execution.seconds"].boundaries or ()), float("inf")]


def test_exemplars_lead_to_the_trace(binary: Path, tmp_path: Path) -> None:
    with running(binary, tmp_path) as collector, service(collector) as scanner:
        trace_id = record_kept(scanner)
        scanner.flush()
        exposed = families(collector)
    for name in ("mcp_tool_execution_seconds", "mcp_tool_execution_total", "mcp_tool_errors_total"):
        exemplars = [sample.exemplar for sample in exposed[name].samples if sample.exemplar]
        assert [exemplar.labels["trace_id"] for exemplar in exemplars] == [trace_id], name


def test_a_real_prometheus_scrapes_the_collector(binary: Path, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        missing = "prometheus is not installed (apt install prometheus)"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    with running(binary, tmp_path) as collector, service(collector) as scanner:
        trace_id = record_kept(scanner)
        scanner.flush()
        (port,) = free_ports(1)
        shipped = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
        settings = shipped.replace(":8889", f":{collector.prometheus}").replace(":8888", f":{collector.own}")
        (tmp_path / "prometheus.yml").write_text(settings.replace("15s", "1s"), encoding="utf-8")
        command = [
            *(prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"),
        ]
        with (tmp_path / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with reaped(process):
            base = f"http://127.0.0.1:{port}/api/v1"
            (series,) = eventually(lambda: queried(base, "query", "mcp_tool_execution_total"), "the kept counter")
            linked = eventually(lambda: exemplars_of(base, "mcp_tool_execution_seconds_bucket"), "exemplars")
            own = eventually(lambda: queried(base, "query", 'up{job="otelcol"}'), "the collector's own metrics")
    assert series["value"][1] == "1"
    assert series["metric"] == {
        "__name__": "mcp_tool_execution_total",
        "tool": "nmap",
        "status": "success",
        "job": "scanner",
        "instance": "scanner-1",
    }
    assert linked[0]["labels"]["trace_id"] == trace_id
    assert own[0]["value"][1] == "1"


def queried(base: str, path: str, query: str) -> list[dict[str, object]]:
    return json.loads(get(f"{base}/{path}?" + urllib.parse.urlencode({"query": query})))["data"]["result"]


def exemplars_of(base: str, query: str) -> list[dict[str, object]]:
    window = {"query": query, "start": "0", "end": "9999999999"}
    data = json.loads(get(f"{base}/query_exemplars?" + urllib.parse.urlencode(window)))["data"]
    return [exemplar for series in data for exemplar in series["exemplars"]]


# --- traces and logs ---


def sending_to(receiver: OtlpReceiver) -> dict[str, str]:
    return {
        "OTELCOL_BACKEND": {"grpc": "otlp_grpc", "http/protobuf": "otlp_http"}[receiver.protocol],
        "OTELCOL_BACKEND_GRPC": f"127.0.0.1:{receiver.port}",
        "OTELCOL_BACKEND_HTTP": receiver.endpoint,
        "OTELCOL_BACKEND_INSECURE": "true",
        "OTELCOL_RETRY_MAX_INTERVAL": "1s",
    }


def trace_ids(received: list[Any]) -> set[str]:
    return {one.trace_id.hex() for one in received}


def scan(running_service: Service, name: str = "nmap scan") -> str:
    """One span with a breaker event, which is also a log record; its trace id."""
    held = running_service.instrumentation
    with held.tracer.start_as_current_span(name) as span:
        emit_event(held.logger, Event.TRANSITION, {"name": "nmap", "to_state": "open"}, severity=SeverityNumber.WARN)
        return f"{span.get_span_context().trace_id:032x}"


@pytest.mark.parametrize(("way_in", "way_out"), [("grpc", "grpc"), ("http", "http/protobuf")])
def test_a_backend_gets_traces_and_logs_unchanged(
    binary: Path, tmp_path: Path, way_in: Protocol, way_out: Literal["grpc", "http/protobuf"]
) -> None:
    with OtlpReceiver(way_out) as tempo, running(binary, tmp_path, sending_to(tempo)) as collector:
        with service(collector, way_in) as scanner:
            trace_id = scan(scanner)
        eventually(lambda: tempo.spans() and tempo.logs(), "a span and a log record at the backend")
    (span,), (record,) = tempo.spans(), tempo.logs()
    assert span.name == "nmap scan"
    assert span.trace_id.hex() == record.trace_id.hex() == trace_id
    assert [event.name for event in span.events] == [record.event_name] == [Event.TRANSITION]
    assert not span.attributes, "what the redaction carried through attributes is taken out again"
    assert not tempo.metrics(), "metrics go to Prometheus only, unless asked otherwise"


def test_without_a_backend_it_is_quiet_and_keeps_nothing(binary: Path, tmp_path: Path) -> None:
    with running(binary, tmp_path) as collector, service(collector) as scanner:
        scan(scanner)
        scanner.flush()
        assert collector.own_value("otelcol_receiver_accepted_spans") == 1
    levels = {json.loads(line)["level"] for line in collector.log().splitlines()}
    assert levels == {"info"}
    assert collector.stored() == b""


def test_a_backend_that_is_down_gets_everything_when_it_is_up(binary: Path, tmp_path: Path) -> None:
    with (
        OtlpReceiver(mode="unavailable") as tempo,
        running(binary, tmp_path, sending_to(tempo)) as collector,
        service(collector) as scanner,
    ):
        sent = {scan(scanner) for _ in range(200)}
        record_kept(scanner)
        scanner.flush()
        assert tempo.arrived.wait(20), "the collector tries"
        assert "mcp_tool_execution_total" in collector.metrics(), "Prometheus is served meanwhile"
        tempo.mode = "normal"
        eventually(lambda: sent <= trace_ids(tempo.spans()), "every span")
        eventually(lambda: sent <= trace_ids(tempo.logs()), "every log record")
    assert len(tempo.logs()) == len(sent), "nothing arrives twice"


def test_what_was_queued_survives_a_crash_of_the_collector(binary: Path, tmp_path: Path) -> None:
    with OtlpReceiver(mode="refusing") as down, running(binary, tmp_path, sending_to(down)) as collector:
        with service(collector) as scanner:
            sent = {scan(scanner) for _ in range(50)}
        collector.kill()
    with OtlpReceiver() as tempo, running(binary, tmp_path, sending_to(tempo)):
        eventually(lambda: sent <= trace_ids(tempo.spans()), "every span")
        eventually(lambda: sent <= trace_ids(tempo.logs()), "every log record")


# --- redaction ---


def leak(running_service: Service) -> None:
    """Plant the canary wherever a service may put a secret."""
    held = running_service.instrumentation
    planted = {
        "db.password": CANARY,
        "x-api-key": [CANARY, CANARY],
        "http.request.header.authorization": f"Basic {CANARY}",
        "url.full": f"http://user:{CANARY}@127.0.0.1/?token={CANARY}&x=1",
        "tracefuse.note": f'request {{"client_secret": "{CANARY}"}} with Bearer {CANARY}{CANARY}',
        "arguments": ["--script-args", f"smbuser=me,smbpass={CANARY}"],
        "nested": {"user": {"password": f"{CANARY} {CANARY}"}},
        "key.pem": f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----\n",
    }
    with held.tracer.start_as_current_span(f"login token={CANARY}", attributes=planted) as span:
        span.add_event("login", planted)
        span.set_status(Status(StatusCode.ERROR, f"ValueError: password={CANARY} is wrong"))
        span.record_exception(ValueError(f"password={CANARY}"))
        emit_event(held.logger, "login", planted)
        held.counter("mcp.tool.errors").add(1, {"tool": "nmap", "error.type": "E", "secret": CANARY})
        held.counter("mcp.tool.execution").add(1, {"tool": "nmap", "note": CANARY})
    held.logger.emit(LogRecord(body=f"password: {CANARY}", attributes=planted))
    held.logger.emit(LogRecord(body={"user": {"password": CANARY}, "note": [f"token={CANARY}"]}))


def test_a_secret_comes_out_nowhere(binary: Path, tmp_path: Path) -> None:
    # A view that drops an attribute moves it to the exemplars.
    dropping = View(instrument_name="mcp.tool.execution", attribute_keys={"tool"})
    with (
        OtlpReceiver(mode="unavailable") as tempo,
        running(binary, tmp_path, sending_to(tempo) | {"OTELCOL_METRICS_TO": "otlp_grpc"}) as collector,
    ):
        with service(collector, resource={"deploy.secret": CANARY}, views=[dropping]) as scanner:
            leak(scanner)
        assert tempo.arrived.wait(20), "all is in the queue, and the collector tries to send it"
        outputs = {"disk": collector.stored().decode("latin-1")}
        tempo.mode = "normal"
        eventually(lambda: tempo.spans() and len(tempo.logs()) == 3 and tempo.metrics(), "all three signals")
        outputs |= {
            "backend": "\n".join(str(request) for _, request in tempo.requests),
            "prometheus": collector.metrics(),
            "own metrics": collector.own_metrics(),
            "log": collector.log(),
        }
    for output, text in outputs.items():
        assert text, f"{output} is empty, which proves nothing"
        assert CANARY not in text, output
    (span,) = tempo.spans()
    assert span.name == "login ****"
    assert span.status.message == "ValueError: **** is wrong"


def test_targets_are_kept_or_redacted_by_choice(binary: Path, tmp_path: Path) -> None:
    assert "192.0.2.7" in str(scanned(binary, tmp_path / "keep", {}))
    redacted = str(scanned(binary, tmp_path / "redact", {"OTELCOL_TARGETS": "redact"}))
    for target in ("192.0.2", "2001:db8", "printer.example", "00:53"):
        assert target not in redacted, redacted
    assert "1.45.2" in redacted, "a version is not an address"
    assert "10:49:34" in redacted, "a time is not an address"


def test_hashed_targets_stay_comparable(binary: Path, tmp_path: Path) -> None:
    environ = {"OTELCOL_TARGETS": "redact", "OTELCOL_TARGETS_HASH": "hmac-sha256"}
    first, again, other = (
        scanned(binary, tmp_path / key, environ | {"OTELCOL_TARGETS_HASH_KEY": key[0] * 32})["tracefuse.host.address"]
        for key in ("a1", "a2", "b1")
    )
    assert first == again != other
    assert len(first) == 64


def scanned(binary: Path, directory: Path, environ: dict[str, str]) -> dict[str, str]:
    """The attributes that arrive of a span full of targets, with its status message as `status`."""
    directory.mkdir()
    attributes = {
        "tracefuse.host.address": "192.0.2.7",
        "server.address": "printer.example",
        "process.command_args": ["nmap", "-p", "80", "192.0.2.0/24", "printer.example"],
        "note": "192.0.2.7, 2001:db8::7 and 2001:db8:0:0:0:0:0:7/64 (00:53:00:12:34:56) at 10:49:34 by nmap 1.45.2",
    }
    with OtlpReceiver() as tempo, running(binary, directory, sending_to(tempo) | environ) as collector:
        with service(collector) as scanner:
            tracer = scanner.instrumentation.tracer
            with tracer.start_as_current_span("nmap scan", attributes=attributes) as span:
                span.set_status(Status(StatusCode.ERROR, "no route to 192.0.2.7"))
        (span,) = eventually(tempo.spans, "the span at the backend")
    arrived = {pair.key: pair.value.string_value or str(pair.value) for pair in span.attributes}
    return arrived | {"status": span.status.message}
