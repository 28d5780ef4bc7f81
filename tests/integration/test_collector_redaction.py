"""Redaction in a real collector: secrets come out nowhere, targets by choice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from opentelemetry import baggage, context
from opentelemetry._logs import LogRecord
from opentelemetry.sdk.metrics.view import View
from opentelemetry.trace import SpanKind, Status, StatusCode

from support.collector import running, sending_to
from support.otlp import OtlpReceiver
from support.polling import eventually
from support.service import Service, service
from tracefuse.telemetry import emit_event

if TYPE_CHECKING:
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)

CANARY = "c4n4ry-zq7"
EVERYWHERE = {"OTELCOL_METRICS_TO": "otlp_grpc", "OTELCOL_DERIVED_INTERVAL": "1s", "OTELCOL_GRAPH_WAIT": "1s"}
DERIVED = {"traces_span_metrics_calls_total", "traces_service_graph_request_total"}


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
    labels = {
        "error.type": f"Refused: password={CANARY}",
        "gen_ai.tool.name": f"nmap --script-args smbpass={CANARY}",
        "tracefuse.scan.template": f"Bearer {CANARY}{CANARY}",
        "process.executable.name": f"/usr/bin/nmap;token={CANARY}",
    }
    token = context.attach(baggage.set_baggage("session", CANARY))
    with held.tracer.start_as_current_span(f"nmap token={CANARY}", kind=SpanKind.CLIENT, attributes=labels):
        pass
    context.detach(token)
    with held.tracer.start_as_current_span(f"login token={CANARY}", attributes=planted) as span:
        span.add_event("login", planted)
        span.set_status(Status(StatusCode.ERROR, f"ValueError: password={CANARY} is wrong"))
        span.record_exception(ValueError(f"password={CANARY}"))
        emit_event(held.logger, "login", planted)
        held.counter("mcp.tool.errors").add(1, {"tool": "nmap", "error.type": "E", "secret": CANARY})
        held.counter("mcp.tool.execution").add(1, {"tool": "nmap", "note": CANARY})
    held.logger.emit(LogRecord(body=f"password: {CANARY}", attributes=planted))
    held.logger.emit(LogRecord(body={"user": {"password": CANARY}, "note": [f"token={CANARY}"]}))


def test_a_secret_comes_out_nowhere(collector_binary: Path, tmp_path: Path) -> None:
    # A view that drops an attribute moves it to the exemplars.
    dropping = View(instrument_name="mcp.tool.execution", attribute_keys={"tool"})
    with (
        OtlpReceiver(mode="unavailable") as tempo,
        running(collector_binary, tmp_path, sending_to(tempo) | EVERYWHERE, ["debug"]) as collector,
    ):
        named = {"deploy.secret": CANARY, "service.namespace": f"lab token={CANARY}"}
        with service(collector, resource=named, views=[dropping]) as scanner:
            leak(scanner)
        eventually(lambda: set(re.findall(r"traces_\w+_total", collector.metrics())) >= DERIVED, "what was derived")
        assert tempo.arrived.wait(20), "all is in the queue, and the collector tries to send it"
        outputs = {"disk": collector.stored().decode("latin-1")}
        tempo.mode = "normal"
        eventually(lambda: tempo.spans() and len(tempo.logs()) == 3 and tempo.metrics(), "all three signals")
        outputs |= {
            "backend": "\n".join(str(request) for _, request in tempo.requests),
            "prometheus": collector.metrics(),
            "own metrics": collector.own_metrics(),
            "log": collector.log(),
            "printed by the debug overlay": collector.output(),
        }
    for output, text in outputs.items():
        assert text, f"{output} is empty, which proves nothing"
        assert CANARY not in text, output
    names = {span.name: span for span in tempo.spans()}
    assert set(names) == {"login ****", "nmap ****"}
    assert names["login ****"].status.message == "ValueError: **** is wrong"
    for label in ('span_name="nmap ****"', 'server="/usr/bin/nmap;****"'):
        assert label in outputs["prometheus"], "derived from what was redacted"


def test_targets_are_kept_or_redacted_by_choice(collector_binary: Path, tmp_path: Path) -> None:
    assert "192.0.2.7" in str(scanned(collector_binary, tmp_path / "keep", {}))
    redacted = str(scanned(collector_binary, tmp_path / "redact", {"OTELCOL_TARGETS": "redact"}))
    for target in ("192.0.2", "2001:db8", "printer.example", "00:53"):
        assert target not in redacted, redacted
    assert "1.45.2" in redacted, "a version is not an address"
    assert "10:49:34" in redacted, "a time is not an address"


def test_hashed_targets_stay_comparable(collector_binary: Path, tmp_path: Path) -> None:
    def hashed(directory: str, key: str) -> str:
        environ = {"OTELCOL_TARGETS": "redact", "OTELCOL_TARGETS_HASH": "hmac-sha256", "OTELCOL_TARGETS_HASH_KEY": key}
        return scanned(collector_binary, tmp_path / directory, environ)["address"]

    first, again, other = hashed("first", "a" * 32), hashed("again", "a" * 32), hashed("other", "b" * 32)
    assert first == again != other
    assert len(first) == 64


def scanned(collector_binary: Path, directory: Path, environ: dict[str, str]) -> dict[str, str]:
    """The attributes that arrive of a span full of targets, with its status message as `status`."""
    directory.mkdir()
    attributes = {
        "address": "192.0.2.7",
        "server.address": "printer.example",
        "process.command_args": ["nmap", "-p", "80", "192.0.2.0/24", "printer.example"],
        "note": "192.0.2.7, 2001:db8::7 and 2001:db8:0:0:0:0:0:7/64 (00:53:00:12:34:56) at 10:49:34 by nmap 1.45.2",
    }
    with OtlpReceiver() as tempo, running(collector_binary, directory, sending_to(tempo) | environ) as collector:
        with service(collector) as scanner:
            tracer = scanner.instrumentation.tracer
            with tracer.start_as_current_span("nmap scan", attributes=attributes) as span:
                span.set_status(Status(StatusCode.ERROR, "no route to 192.0.2.7"))
        (span,) = eventually(tempo.spans, "the span at the backend")
    arrived = {pair.key: pair.value.string_value or str(pair.value) for pair in span.attributes}
    return arrived | {"status": span.status.message}
