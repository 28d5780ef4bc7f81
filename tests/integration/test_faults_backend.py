"""The backend fails in every way there is: what the collector accepted arrives, and Prometheus is served meanwhile."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.collector import Collector, running, sending_to
from support.faulty_backend import Fault, FaultyBackend
from support.faulty_sender import sending
from support.otlp import OtlpReceiver
from support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)

EXECUTIONS = re.compile(r'^mcp_tool_execution_total\{[^}]*job="sender"[^}]*\} ([\d.]+)', re.MULTILINE)


def executions(exposition: str) -> float:
    """The sender's counter, 0 while it has none."""
    return sum(map(float, EXECUTIONS.findall(exposition)))


@contextmanager
def scraped(collector: Collector) -> Iterator[list[float]]:
    """The sender's counter as every scrape saw it, ten times a second; fails at the end if one went wrong."""
    seen: list[float] = []
    wrong: list[str] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(0.1):
            try:
                text = collector.metrics()
            except OSError as error:
                wrong.append(repr(error))
                continue
            seen.append(executions(text))
            if not text.endswith("# EOF\n"):
                wrong.append(text[-200:])

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join(10)
    assert wrong == []
    assert seen == sorted(seen), f"a counter went back: {seen}"


# 500 is in a test of its own: by the OTLP specification it means "never", so it is no outage.
OUTAGES = [Fault.DOWN, Fault.BUSY, Fault.HANGING, Fault.RESETTING, Fault.TRICKLING]


@pytest.mark.parametrize("fault", OUTAGES, ids=lambda fault: fault.value)
def test_everything_accepted_during_an_outage_arrives_after_it(
    collector_binary: Path, tmp_path: Path, fault: Fault
) -> None:
    with (
        FaultyBackend() as backend,
        running(collector_binary, tmp_path, backend.environ) as collector,
        sending(collector.grpc, tmp_path) as sender,
        scraped(collector) as seen,
    ):
        before = sender.record(100)
        eventually(lambda: before <= backend.span_ids(), "the spans before the outage")
        backend.become(fault)
        during = sender.record(600, rate=300)
        sender.do("flush")
        if fault is not Fault.DOWN:
            assert backend.asked.wait(20), "the collector tries"
        eventually(lambda: seen[-1] == 700, "the metrics of the outage, while it lasts")
        assert not during <= backend.span_ids()
        backend.become(Fault.NONE)
        after = sender.record(100)
        everything = before | during | after
        eventually(lambda: everything <= backend.span_ids(), "every span")
        eventually(lambda: everything <= backend.log_ids(), "every log record")
        report = sender.do("stop")
        assert collector.own_value("otelcol_receiver_accepted_spans") == len(everything)
        assert collector.own_value("otelcol_exporter_enqueue_failed_spans") == 0
        assert collector.own_value("otelcol_exporter_send_failed_spans") == 0
    assert (report["spans_lost"], report["logs_lost"], report["metrics_lost"]) == (0, 0, False)
    assert backend.span_ids() == everything


def test_what_a_backend_refuses_for_good_is_counted_and_said(collector_binary: Path, tmp_path: Path) -> None:
    # OTLP 1.x, "Failures": of all server errors only 502, 503 and 504 mean that another try is worth it.
    with (
        FaultyBackend(Fault.BROKEN) as backend,
        running(collector_binary, tmp_path, backend.environ) as collector,
        sending(collector.grpc, tmp_path) as sender,
        scraped(collector) as seen,
    ):
        sender.record(200)
        sender.do("flush")
        for item in ("spans", "log_records"):
            failed = f"otelcol_exporter_send_failed_{item}"
            eventually(lambda failed=failed: collector.own_value(failed) == 200, f"200 {item} counted as lost")
        assert "Exporting failed" in collector.log()
        eventually(lambda: seen[-1] == 200, "the metrics of the failure, while it lasts")
        backend.become(Fault.NONE)
        after = sender.record(100)
        eventually(lambda: after == backend.span_ids() and after == backend.log_ids(), "what came after it")


def test_a_backend_that_hangs_over_grpc_gets_everything_when_it_answers(collector_binary: Path, tmp_path: Path) -> None:
    with (
        OtlpReceiver("grpc", "hanging") as tempo,
        running(collector_binary, tmp_path, sending_to(tempo)) as collector,
        sending(collector.grpc, tmp_path) as sender,
    ):
        sent = sender.record(300)
        sender.do("flush")
        assert tempo.arrived.wait(20), "the collector tries"
        tempo.mode = "normal"
        tempo.released.set()
        eventually(lambda: sent <= {span.span_id.hex() for span in tempo.spans()}, "every span")
        eventually(lambda: sent <= {record.span_id.hex() for record in tempo.logs()}, "every log record")
