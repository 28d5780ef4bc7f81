"""The variants of the collector, merged over the shipped configuration and run: what each is for holds."""

from __future__ import annotations

import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from support.certificates import Authority
from support.collector import OVERLAYS, Collector, running, sending_to
from support.otlp import OtlpReceiver
from support.polling import eventually
from support.service import service
from support.spans import Made, send, trace_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)

SOON = {"OTELCOL_DERIVED_INTERVAL": "1s", "OTELCOL_GRAPH_WAIT": "1s"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def folder(directory: Path) -> Path:
    """`directory`, made."""
    directory.mkdir()
    return directory


def traces(tempo: OtlpReceiver) -> list[str]:
    """The trace ids of the spans that arrived, one for each span."""
    return [span.trace_id.hex() for span in tempo.spans()]


@pytest.mark.parametrize("overlay", sorted(path.stem for path in OVERLAYS.glob("*.yaml")))
def test_it_starts_without_a_warning(
    collector_binary: Path, authority: Authority, tmp_path: Path, overlay: str
) -> None:
    own = authority.issue(overlay)
    environ = {
        "OTELCOL_GATEWAY_CERT_FILE": str(own.certificate),
        "OTELCOL_GATEWAY_KEY_FILE": str(own.key),
        "OTELCOL_VENDOR_ENDPOINT": "https://127.0.0.1:1",
    }
    with running(collector_binary, tmp_path, environ, [overlay]) as collector:
        lines = collector.log().splitlines()
    assert {json.loads(line)["level"] for line in lines} == {"info"}
    assert not [line for line in lines if "deprecated" in line.lower()]


# --- seeing all, keeping all ---


def test_debug_prints_every_signal_and_what_was_made_of_it(collector_binary: Path, tmp_path: Path) -> None:
    environ = SOON | {"OTELCOL_SAMPLE_PERCENT": "0"}
    with running(collector_binary, tmp_path, environ, ["debug"]) as collector:
        with service(collector) as scanner:
            trace = scanner.record_kept()
            scanner.scan()
        for printed in (trace, "mcp.tool.execution", "circuit_breaker.transition", "traces.span.metrics.calls"):
            eventually(lambda printed=printed: printed in collector.output(), printed)
    assert trace not in collector.log(), "data is no part of the log"


def test_unsampled_tells_the_service_when_the_queue_is_full(collector_binary: Path, tmp_path: Path) -> None:
    with OtlpReceiver(mode="refusing") as down:
        environ = sending_to(down) | {"OTELCOL_QUEUE_BYTES": "270000", "OTELCOL_SAMPLE_PERCENT": "0"}
        with running(collector_binary, tmp_path, environ, ["unsampled"]) as collector:
            first = Made(trace="first", attributes={"note": "x" * 200_000})
            send(collector, [first])
            assert bytes.fromhex(trace_id("first")) in collector.stored("traces"), "accepted is on disk"
            with pytest.raises(ConnectionError, match="sending queue is full"):
                send(collector, [Made(trace="second", attributes={"note": "x" * 200_000})])


# --- a gateway and its sidecars ---


@pytest.fixture
def gateway(collector_binary: Path, authority: Authority, tmp_path: Path) -> Iterator[tuple[Collector, OtlpReceiver]]:
    """A gateway that hears only sidecars with a certificate, and its backend."""
    own = authority.issue("gateway")
    tls = {
        "OTELCOL_GATEWAY_CERT_FILE": str(own.certificate),
        "OTELCOL_GATEWAY_KEY_FILE": str(own.key),
        "OTELCOL_GATEWAY_CLIENT_CA_FILE": str(authority.file),
    }
    with OtlpReceiver() as tempo:
        environ = sending_to(tempo) | SOON | tls | {"OTELCOL_SAMPLE_PERCENT": "20"}
        with running(collector_binary, folder(tmp_path / "gateway"), environ, ["gateway"]) as collector:
            yield collector, tempo


def behind(gateway: Collector, authority: Authority, name: str) -> dict[str, str]:
    """The environment of a sidecar of this gateway."""
    own = authority.issue(name)
    return SOON | {
        "OTELCOL_BACKEND": "otlp_grpc",
        "OTELCOL_BACKEND_GRPC": f"127.0.0.1:{gateway.grpc}",
        "OTELCOL_BACKEND_CA_FILE": str(authority.file),
        "OTELCOL_BACKEND_CERT_FILE": str(own.certificate),
        "OTELCOL_BACKEND_KEY_FILE": str(own.key),
        # A share that a sidecar would keep, if it chose at all.
        "OTELCOL_SAMPLE_PERCENT": "0",
    }


def test_a_gateway_judges_traces_whole_and_draws_the_graph_across_sidecars(
    collector_binary: Path, authority: Authority, gateway: tuple[Collector, OtlpReceiver], tmp_path: Path
) -> None:
    central, tempo = gateway
    asked = Made(name="ask", trace="dropped by a sidecar alone", kind="CLIENT")
    served = Made(name="serve", trace=asked.trace, kind="SERVER", parent=asked, error="TimeoutError")
    with (
        running(
            collector_binary, folder(tmp_path / "one"), behind(central, authority, "one"), ["behind-gateway"]
        ) as one,
        running(
            collector_binary, folder(tmp_path / "two"), behind(central, authority, "two"), ["behind-gateway"]
        ) as two,
    ):
        send(one, [asked], "assistant")
        eventually(lambda: central.own_value("otelcol_receiver_accepted_spans") == 1, "the call at the gateway")
        assert not tempo.spans(), "nothing speaks for it yet"
        send(two, [served], "scanner")
        eventually(lambda: {span.name for span in tempo.spans()} == {"ask", "serve"}, "both ends of the call")
        edge = 'client="assistant",connection_type="",failed="true",server="scanner"} 1'
        eventually(lambda: edge in central.metrics(), "the call in the gateway's graph")
        for sidecar, name in ((one, "ask"), (two, "serve")):
            eventually(
                lambda sidecar=sidecar, name=name: f'span_name="{name}"' in sidecar.metrics(), "the span counted"
            )
            assert "traces_service_graph" not in sidecar.metrics()
        assert "traces_span_metrics" not in central.metrics(), "counted once"


def test_behind_a_gateway_traces_are_chosen_once(
    collector_binary: Path, authority: Authority, gateway: tuple[Collector, OtlpReceiver], tmp_path: Path
) -> None:
    central, tempo = gateway
    environ = behind(central, authority, "one")
    with running(collector_binary, folder(tmp_path / "one"), environ, ["behind-gateway"]) as sidecar:
        send(sidecar, [Made(trace=f"trace {number}") for number in range(500)])
        taken = "otelcol_receiver_accepted_spans"
        eventually(lambda: central.own_value(taken) == 500, "everything at the gateway")
        send(sidecar, [Made(trace="last", error="failed")])
        eventually(lambda: trace_id("last") in traces(tempo), "the last trace")
    arrived = traces(tempo)
    assert len(arrived) == len(set(arrived)), "each once"
    assert 60 < len(arrived) < 140, "20 % of 500, and not 20 % of 20 %"


def test_a_gateway_does_not_hear_who_has_no_certificate(
    authority: Authority, gateway: tuple[Collector, OtlpReceiver]
) -> None:
    central, _ = gateway
    anonymous = ssl.create_default_context(cafile=str(authority.file))
    address = ("127.0.0.1", central.grpc)
    with (
        pytest.raises((ssl.SSLError, ConnectionError)),
        socket.create_connection(address, 5) as plain,
        anonymous.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        # With TLS 1.3 the refusal comes with the first answer.
        secured.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        while secured.recv(1024):
            pass


# --- a vendor ---


@pytest.fixture
def vendor(authority: Authority) -> Iterator[OtlpReceiver]:
    own = authority.issue("vendor")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own.certificate, own.key)
    with OtlpReceiver("http/protobuf", tls=tls) as receiver:
        yield receiver


def test_a_vendor_gets_all_signals_over_tls_with_its_headers_beside_the_own_backend(
    collector_binary: Path, authority: Authority, vendor: OtlpReceiver, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("of-the-vendor", encoding="utf-8")
    environ = SOON | {
        "OTELCOL_VENDOR_ENDPOINT": vendor.endpoint,
        "OTELCOL_VENDOR_CA_FILE": str(authority.file),
        "OTELCOL_VENDOR_HEADERS": f'{{"authorization": "Bearer ${{file:{tmp_path}/token}}", "x-tenant": "lab"}}',
    }
    with OtlpReceiver() as tempo:
        with running(collector_binary, tmp_path, sending_to(tempo) | environ, ["vendor"]) as collector:
            with service(collector) as scanner:
                scanner.record_kept()
                scanner.scan()
            eventually(lambda: vendor.spans() and vendor.logs() and derived(vendor), "all signals at the vendor")
            eventually(lambda: tempo.spans() and tempo.logs(), "traces and logs at the own backend")
            assert "of-the-vendor" not in collector.log()
        assert {"mcp.tool.execution", "traces.span.metrics.calls"} <= {metric.name for metric in vendor.metrics()}
        assert not tempo.metrics()
    told = [{name.lower(): value for name, value in headers.items()} for headers in vendor.headers]
    assert {(one["authorization"], one["x-tenant"]) for one in told} == {("Bearer of-the-vendor", "lab")}
    assert not any("authorization" in headers for headers in tempo.headers)


def derived(receiver: OtlpReceiver) -> list[Any]:
    return [metric for metric in receiver.metrics() if metric.name.startswith("traces.")]


def test_a_vendor_that_cannot_prove_who_it_is_gets_nothing(
    collector_binary: Path, vendor: OtlpReceiver, tmp_path: Path
) -> None:
    environ = {"OTELCOL_VENDOR_ENDPOINT": vendor.endpoint}
    with running(collector_binary, tmp_path, environ, ["vendor"]) as collector:
        send(collector, [Made(trace="secret")])
        eventually(lambda: "certificate signed by unknown authority" in collector.log(), "the refusal")
    assert not vendor.requests
