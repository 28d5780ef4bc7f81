"""A receiver that refuses, hangs or dawdles: recording goes on, exit keeps its deadline, the loss is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product

import pytest

from support.otlp import OtlpReceiver
from tracefuse.telemetry import Telemetry, configure, emit_event

Receivers = Callable[..., OtlpReceiver]
PROTOCOLS = ("grpc", "http/protobuf")
SPANS = 1500  # three batches
EXPECTED = {
    "refusing": "connection refused",
    "hanging": "timed out",
    "unavailable": "receiver unavailable",
}


def record(telemetry: Telemetry, spans: int = SPANS) -> float:
    """Record spans, a count and an event; the seconds it took."""
    began = time.perf_counter()
    counter = telemetry.instrumentation.counter("mcp.tool.errors")
    for _ in range(spans):
        with telemetry.instrumentation.tracer.start_as_current_span("work"):
            counter.add(1, {"tool": "nmap", "error.type": "x"})
    emit_event(telemetry.instrumentation.logger, "e", {})
    return time.perf_counter() - began


@pytest.mark.parametrize(("protocol", "mode"), [*product(PROTOCOLS, EXPECTED)])
def test_the_loss_is_told_in_one_line_within_the_deadline(otlp_receiver: Receivers, protocol: str, mode: str) -> None:
    receiver = otlp_receiver(protocol, mode)
    telemetry = configure(receiver.environ, set_global=False)
    record(telemetry)
    began = time.monotonic()
    report = telemetry.shutdown(deadline=4.0)
    assert time.monotonic() - began < 4.0 + 1.0
    assert str(report) == (
        f"telemetry: {SPANS} spans, 1 log record and the last metrics were not delivered "
        f"to {receiver.endpoint} ({EXPECTED[mode]})"
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_slow_receiver_gets_everything_that_fits_the_deadline(otlp_receiver: Receivers, protocol: str) -> None:
    receiver = otlp_receiver(protocol, "slow", pause=0.3)
    telemetry = configure(receiver.environ, set_global=False)
    record(telemetry)
    report = telemetry.shutdown(deadline=10.0)
    assert (report.lost, len(receiver.spans()), len(receiver.logs())) == (False, SPANS, 1)


def test_what_a_slow_receiver_did_not_get_in_time_is_counted(otlp_receiver: Receivers) -> None:
    receiver = otlp_receiver("grpc", "slow", pause=1.0)
    telemetry = configure(receiver.environ, set_global=False)
    record(telemetry)
    report = telemetry.shutdown(deadline=0.5)
    assert report.elapsed < 1.5
    assert (report.spans_lost, report.logs_lost, report.metrics_lost, report.reason) == (SPANS, 1, True, "timed out")


def test_spans_that_the_full_queue_dropped_are_counted(otlp_receiver: Receivers) -> None:
    receiver = otlp_receiver("grpc", "hanging")
    environ = receiver.environ | {"OTEL_BSP_MAX_QUEUE_SIZE": "50", "OTEL_EXPORTER_OTLP_TIMEOUT": "30"}
    telemetry = configure(environ, set_global=False)
    record(telemetry)
    receiver.mode = "normal"
    receiver.released.set()
    report = telemetry.shutdown()
    assert report.spans_lost == SPANS - len(receiver.spans()) > 0


@pytest.mark.parametrize(("protocol", "mode"), [*product(PROTOCOLS, ("refusing", "hanging", "slow"))])
def test_recording_is_not_slowed(otlp_receiver: Receivers, protocol: str, mode: str) -> None:
    quick = {"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_BLRP_SCHEDULE_DELAY": "20", "OTEL_METRIC_EXPORT_INTERVAL": "50"}
    receiver = otlp_receiver(protocol, mode)
    alone, troubled = configure({}, set_global=False), configure(receiver.environ | quick, set_global=False)
    baseline = min(record(alone) for _ in range(3))
    # Exports share the interpreter with the recording, so some more is fair; waiting for one would be 2 s.
    assert min(record(troubled) for _ in range(3)) < baseline * 4 + 0.2
    alone.shutdown()
    troubled.shutdown(deadline=1.0)


PROGRAM = """
import sys
from tracefuse.telemetry import configure
telemetry = configure()
for _ in range(1500):
    telemetry.instrumentation.tracer.start_span("work").end()
telemetry.instrumentation.counter("tracefuse.policy.refusals").add(1, {"rule": "x"})
print("recorded", flush=True)
if sys.argv[1] == "explicit":
    print(telemetry.shutdown(deadline=1.0), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("protocol", "mode", "ending"),
    [*product(PROTOCOLS, ("refusing", "hanging", "slow"), ("explicit",)), ("grpc", "hanging", "at exit")],
)
def test_the_process_ends_in_time_and_says_one_line(
    otlp_receiver: Receivers, protocol: str, mode: str, ending: str
) -> None:
    receiver = otlp_receiver(protocol, mode, pause=5.0)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environ |= receiver.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    if ending == "explicit":
        environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "30"
    deadline = 1.0 if ending == "explicit" else 5.0
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, ending],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environ,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        began = time.monotonic()
        _, errors = process.communicate(timeout=60)
        elapsed = time.monotonic() - began
    assert process.returncode == 0
    assert elapsed < deadline + 2.0  # two seconds for a busy machine
    lines = errors.splitlines()
    if ending == "explicit":
        assert len(lines) == 1
        assert lines[0].startswith("telemetry: 1500 spans and the last metrics were not delivered to http://127.0.0.1:")
    else:
        assert lines == []


def test_a_receiver_that_comes_back_gets_what_was_not_lost_yet(otlp_receiver: Receivers) -> None:
    receiver = otlp_receiver("http/protobuf", "unavailable")
    environ = receiver.environ | {"OTEL_BSP_SCHEDULE_DELAY": "10"}
    telemetry = configure(environ, set_global=False)
    telemetry.instrumentation.tracer.start_span("early").end()
    assert receiver.arrived.wait(10)
    receiver.mode = "normal"
    telemetry.instrumentation.tracer.start_span("late").end()
    report = telemetry.shutdown()
    assert "late" in {span.name for span in receiver.spans()}
    assert report.spans_lost == 2 - len(receiver.spans())


FORK = """
import os, sys
from tracefuse.telemetry import configure
telemetry = configure(set_global=False)
for _ in range(3):
    telemetry.instrumentation.tracer.start_span("parent's").end()
child = os.fork()
if child == 0:
    telemetry.instrumentation.tracer.start_span("child's").end()
    report = telemetry.shutdown(deadline=3.0)
    os.write(1, f"child {report.spans_lost}\\n".encode())
    os._exit(0)
os.waitpid(child, 0)
os.write(1, f"parent {telemetry.shutdown(deadline=3.0).spans_lost}\\n".encode())
"""


@pytest.mark.parametrize(("mode", "lost"), [("normal", (0, 0)), ("unavailable", (1, 3))])
def test_the_child_of_a_fork_answers_for_its_own_spans_only(
    otlp_receiver: Receivers, mode: str, lost: tuple[int, int]
) -> None:
    receiver = otlp_receiver("http/protobuf", mode)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | receiver.environ,
        timeout=60,
    )
    assert done.stdout.splitlines() == [f"child {lost[0]}", f"parent {lost[1]}"]
    names = sorted(span.name for span in receiver.spans())
    assert names == ([] if mode == "unavailable" else ["child's", *["parent's"] * 3])
