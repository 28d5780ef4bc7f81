"""A burst of a hundred times the normal rate: the memory limiter pushes back, nothing ends, every drop is counted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.collector import running
from support.faulty_backend import FaultyBackend
from support.faulty_sender import sending
from support.polling import eventually

if TYPE_CHECKING:
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)

NORMAL = 20
"""Spans a second: two scans at once, of a few hosts each."""

BURST = 4000
"""Bounded by count too: of 40 KB each they are more than the collector may hold."""


def test_a_burst_is_pushed_back_and_what_is_dropped_is_counted(collector_binary: Path, tmp_path: Path) -> None:
    # Dull traces wait in memory for the choice; for a short time here, for minutes by default.
    tight = {
        "OTELCOL_MEMORY_LIMIT_MIB": "60",
        "OTELCOL_MEMORY_SPIKE_MIB": "24",
        "OTELCOL_SAMPLE_PERCENT": "0",
        "OTELCOL_SAMPLE_WAIT": "4s",
    }
    with (
        FaultyBackend() as backend,
        running(collector_binary, tmp_path, backend.environ | tight) as collector,
        sending(collector.grpc, tmp_path, OTEL_BSP_MAX_QUEUE_SIZE="500") as sender,
    ):
        before = sender.record(NORMAL, rate=NORMAL)
        sender.do("record", count=BURST, rate=100 * NORMAL, size=40_000, eventful=False)
        eventually(lambda: collector.own_value("otelcol_receiver_refused_spans"), "back-pressure")
        assert "Refusing data" in collector.log()
        after: set[str] = set()

        def arrives() -> bool:
            after.update(sender.record(NORMAL, rate=10 * NORMAL))
            return bool(after & backend.span_ids() & backend.log_ids())

        eventually(arrives, "the collector to take data again", deadline=60)
        eventually(lambda: before <= backend.span_ids(), "what came before the burst")
        assert "mcp_tool_execution_total" in collector.metrics()
        dropped = re.search(r'^otel_sdk_processor_span_processed_total\{error_type="queue_full".* (\S+)$',
                            sender.metrics(), re.MULTILINE)  # fmt: skip
        assert dropped, "what the sender's full queue cost is among its metrics"
        report = sender.do("stop", deadline=10.0)
        recorded = len(before) + BURST + len(after)
        accepted = collector.own_value("otelcol_receiver_accepted_spans")
        # An export that was too late for the sender, and accepted none the less, is counted twice.
        assert recorded <= accepted + report["spans_lost"], "each span was accepted, or is counted as lost"
        assert report["spans_lost"] >= float(dropped[1]) > 0
        assert collector.own_value("otelcol_process_memory_rss") < 200 * 2**20
    told = [sender.log().count(line) for line in ("is full; the oldest are dropped", "has room again")]
    assert 1 <= told[1] <= told[0] <= told[1] + 1 <= 5, "a line when it begins and one when it is over"
