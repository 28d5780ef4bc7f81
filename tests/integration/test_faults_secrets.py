"""Secrets on the whole way, from a caller's request through a real service and collector: they come out nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.cli import script
from support.collector import free_ports, running, sending_to
from support.components import component
from support.faulty_service import ScanService, serving
from support.otlp import OtlpReceiver
from support.polling import eventually

if TYPE_CHECKING:
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = [pytest.mark.timeout(600), component("nmap")]

CANARY = "c4n4ry-zq7"

HEADERS = {
    "user-agent": f"scanner/1.0 (token={CANARY})",
    "authorization": f"Bearer {CANARY}-{CANARY}",
    "cookie": f"session={CANARY}",
    "baggage": f"password={CANARY},user.secret={CANARY}",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}

REFUSED: tuple[dict[str, object], ...] = (
    {"targets": [f"http://admin:{CANARY}@127.0.0.1/"]},
    {"targets": ["127.0.0.1"], "extra_args": f"--password={CANARY}"},
    {"targets": ["127.0.0.1"], "extra_args": f"--script-args http.password={CANARY} --script banner"},
    {"targets": ["127.0.0.1"], "template": f"secret={CANARY}"},
    {"targets": ["127.0.0.1"], "api_key": CANARY},
)


def leak(service: ScanService, broken: Path) -> None:
    """Ask for scans with the canary wherever a caller can put one; the last of them fails, and nmap says it."""
    service.scan("-p 80", **HEADERS)
    for body in REFUSED:
        assert service.ask(body, **HEADERS).status_code == 422
    broken.touch()
    assert service.ask({"targets": ["127.0.0.1"], "extra_args": "-p 80"}, **HEADERS).status_code == 502


def test_a_callers_secret_comes_out_nowhere(collector_binary: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    nmap = script(
        tmp_path / "nmap", f'test -e {broken} || exec nmap "$@"\necho "password={CANARY} is wrong" >&2\nexit 1'
    )
    variables = {
        "TRACEFUSE_NMAP_PATH": nmap,
        "TRACEFUSE_RETRY_ATTEMPTS": "1",
        "TRACEFUSE_TELEMETRY_RECORD_ARGUMENTS": "true",
        "OTEL_RESOURCE_ATTRIBUTES": f"deploy.secret={CANARY}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {CANARY}",
    }
    (port,) = free_ports(1)
    with (
        OtlpReceiver(mode="unavailable") as tempo,
        running(
            collector_binary, tmp_path, sending_to(tempo) | {"OTELCOL_OTLP_GRPC": f"127.0.0.1:{port}"}, ["debug"]
        ) as collector,
    ):
        with serving(port, tmp_path, **variables) as service:
            leak(service, broken)
            outputs = {
                "metrics of the service": service.metrics(),
                "metrics of the service, with exemplars": service.metrics("application/openmetrics-text"),
            }
        outputs |= {"log of the service": service.log()}
        assert tempo.arrived.wait(20), "all is in the queue, and the collector tries to send it"
        outputs |= {"disk": collector.stored().decode("latin-1")}
        tempo.mode = "normal"
        eventually(lambda: {span.name for span in tempo.spans()} >= {"nmap scan", "nmap"} and tempo.logs(), "all of it")
        outputs |= {
            "backend": "\n".join(str(request) for _, request in tempo.requests),
            "metrics of the collector": collector.metrics(),
            "its own": collector.own_metrics(),
            "its log": collector.log(),
            "what it prints": collector.output(),
        }
    for output, text in outputs.items():
        assert text, f"{output} is empty, which proves nothing"
        assert [line for line in text.splitlines() if CANARY in line] == [], output
