"""Tail sampling in a real collector: what somebody will look for is kept whole, of the rest a share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.collector import Collector, running, sending_to
from support.otlp import OtlpReceiver
from support.polling import eventually
from support.spans import Made, send, trace_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)

BY_POLICY = {"OTELCOL_SAMPLE_PERCENT": "0", "OTELCOL_SLOW_MS": "30000"}


@pytest.fixture(scope="module")
def tempo() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def collector(
    collector_binary: Path, tempo: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collector]:
    """One that keeps no share, so that whatever arrives was kept for a reason."""
    directory = tmp_path_factory.mktemp("sampling")
    with running(collector_binary, directory, sending_to(tempo) | BY_POLICY) as started:
        yield started


def names(tempo: OtlpReceiver, trace: str) -> set[str]:
    """The spans of a trace that arrived."""
    return {span.name for span in tempo.spans() if span.trace_id.hex() == trace_id(trace)}


def judge(collector: Collector, tempo: OtlpReceiver) -> str:
    """Wait until all that was sent so far is judged, for a kept trace overtakes none; the id of that one."""
    last = Made(trace=f"last after {len(tempo.spans())}", error="failed")
    send(collector, [last])
    eventually(lambda: names(tempo, last.trace), "the last trace")
    return trace_id(last.trace)


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("error", Made(trace="error", error="TimeoutError")),
        ("slow", Made(trace="slow", seconds=30.5)),
        ("breaker", Made(trace="breaker", events=("circuit_breaker.transition",))),
        ("refused", Made(trace="refused by event", events=("policy.refused",))),
        ("refused", Made(trace="refused by attribute", attributes={"tracefuse.policy.outcome": "refused"})),
    ],
    ids=lambda value: value.trace if isinstance(value, Made) else value,
)
def test_a_trace_is_kept_for_one_span_of_it(collector: Collector, tempo: OtlpReceiver, policy: str, told: Made) -> None:
    before = kept_by(collector, policy)
    send(collector, [told, Made(name="phase Connect Scan", trace=told.trace, parent=told)])
    eventually(lambda: names(tempo, told.trace) == {told.name, "phase Connect Scan"}, "both spans")
    assert eventually(lambda: kept_by(collector, policy) - before, "the decision among the collector's own metrics")


def kept_by(collector: Collector, policy: str) -> float:
    return collector.own_value("otelcol_processor_tail_sampling_count_traces_sampled", policy=policy, sampled="true")


@pytest.mark.parametrize(
    "dull",
    [
        Made(trace="quick", seconds=29.5),
        Made(trace="rejected", events=("circuit_breaker.rejected", "retry.scheduled", "scan.host")),
        Made(trace="allowed", attributes={"tracefuse.policy.outcome": "allowed"}),
    ],
    ids=lambda value: value.trace,
)
def test_a_trace_without_a_reason_is_not_kept(collector: Collector, tempo: OtlpReceiver, dull: Made) -> None:
    send(collector, [dull])
    judge(collector, tempo)
    assert not names(tempo, dull.trace)


def test_the_end_of_a_long_scan_keeps_its_beginning(collector: Collector, tempo: OtlpReceiver) -> None:
    scan = Made(trace="long", seconds=600)
    send(collector, [Made(name="phase Ping Scan", trace="long", parent=scan)])
    judge(collector, tempo)
    assert not names(tempo, "long"), "nothing speaks for it yet"
    send(collector, [scan])
    eventually(lambda: names(tempo, "long") == {"phase Ping Scan", "nmap scan"}, "the beginning with the end")
    judge(collector, tempo)
    send(collector, [Made(name="tools/call nmap", trace="long", kind="SERVER")])
    eventually(lambda: "tools/call nmap" in names(tempo, "long"), "what comes after")


def test_a_trace_that_was_dropped_is_kept_when_it_fails_later(collector_binary: Path, tmp_path: Path) -> None:
    with OtlpReceiver() as tempo:
        environ = sending_to(tempo) | BY_POLICY | {"OTELCOL_SAMPLE_WAIT": "1s"}
        with running(collector_binary, tmp_path, environ) as collector:
            send(collector, [Made(name="first scan", trace="session")])
            eventually(lambda: waiting(collector) == 0, "the first scan to be dropped")
            send(collector, [Made(name="second scan", trace="session", error="TimeoutError")])
            eventually(lambda: names(tempo, "session"), "the second scan")
    assert names(tempo, "session") == {"second scan"}


def waiting(collector: Collector) -> float:
    """Traces that wait for a reason; -1 before the first one came."""
    name = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
    return collector.own_value(name) if name in collector.own_metrics() else -1


def test_the_share_is_kept_of_the_rest_and_the_same_by_every_collector(collector_binary: Path, tmp_path: Path) -> None:
    # Ids that are always the same: what is kept of them is no matter of chance.
    sent = [Made(trace=f"trace {number}") for number in range(2000)]
    kept = [share(collector_binary, tmp_path / one, sent) for one in ("first", "second")]
    assert kept[0] == kept[1]
    assert 350 < len(kept[0]) < 450, "20 % of 2000"


def share(collector_binary: Path, directory: Path, sent: list[Made]) -> set[str]:
    """The traces that a collector keeps, by id."""
    directory.mkdir()
    with OtlpReceiver() as tempo:
        environ = sending_to(tempo) | {"OTELCOL_SAMPLE_PERCENT": "20"}
        with running(collector_binary, directory, environ) as collector:
            send(collector, sent)
            last = judge(collector, tempo)
        return {span.trace_id.hex() for span in tempo.spans()} - {last}


def test_a_stop_loses_nothing_that_was_kept(collector_binary: Path, tmp_path: Path) -> None:
    """What was kept in the last moment is on disk, and goes out at the next start."""
    with OtlpReceiver(mode="refusing") as down, running(collector_binary, tmp_path, sending_to(down)) as collector:
        send(collector, [Made(trace=f"late {number}") for number in range(500)])
    with OtlpReceiver() as tempo, running(collector_binary, tmp_path, sending_to(tempo)):
        eventually(lambda: len(tempo.spans()) == 500, "every span that was accepted")


def test_waiting_traces_are_bounded_in_number_and_size(collector_binary: Path, tmp_path: Path) -> None:
    bounds = {"OTELCOL_SAMPLE_TRACES": "100", "OTELCOL_SAMPLE_TRACE_BYTES": "10000"}
    with OtlpReceiver() as tempo:
        with running(collector_binary, tmp_path, sending_to(tempo) | BY_POLICY | bounds) as collector:
            send(collector, [Made(trace=f"trace {number}") for number in range(500)])
            send(collector, [Made(trace="large", name="x" * 1000) for _ in range(20)])
            judge(collector, tempo)
            too_large = "otelcol_processor_tail_sampling_traces_dropped_too_large"
            eventually(lambda: collector.own_value(too_large) == 1, "the large one dropped")
            eventually(lambda: 90 < waiting(collector) <= 100, "the oldest ones dropped")
        assert not names(tempo, "large")


def test_as_many_scans_as_may_wait_take_the_memory_that_the_guide_says(collector_binary: Path, tmp_path: Path) -> None:
    """docs/collector.md, Sizing: 5 KiB and 3.5 times its size for each trace, 60 MiB for the rest."""
    attributes = {f"tracefuse.attribute.{number}": f"a value of usual length {number}" for number in range(5)}
    with OtlpReceiver() as tempo, running(collector_binary, tmp_path, sending_to(tempo) | BY_POLICY) as collector:
        for batch in range(20):
            scans = [f"scan {batch * 100 + number}" for number in range(100)]
            size = send(collector, [Made(trace=scan, attributes=attributes) for scan in scans for _ in range(8)])
        eventually(lambda: waiting(collector) > 1900, "nearly all of them to wait")
        expected = 2000 * (5 * 1024 + 3.5 * size / 100) + 60 * 2**20
        heap = "otelcol_process_runtime_heap_alloc_bytes"
        eventually(lambda: collector.own_value(heap) < expected, f"a heap below {expected / 2**20:.0f} MiB")
        assert expected < (384 - 96) * 2**20, "the soft limit of the defaults"
        assert collector.own_value("otelcol_receiver_refused_spans") == 0
