"""The disk of the queues is full: the loss is bounded and counted, and with space again nothing more is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.collector import Collector, running
from support.faulty_backend import Fault, FaultyBackend
from support.faulty_disk import fill, free, on_small_disk
from support.faulty_sender import sending
from support.polling import eventually

if TYPE_CHECKING:
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)


def test_a_full_disk_costs_only_what_is_counted(collector_binary: Path, tmp_path: Path) -> None:
    small = on_small_disk(collector_binary, tmp_path, 4_000_000)
    with (
        FaultyBackend(Fault.DOWN) as backend,
        running(small, tmp_path, backend.environ) as collector,
        sending(collector.grpc, tmp_path) as sender,
    ):
        fill(collector, 2_000_000)
        during: set[str] = set()
        while not (refused(collector, "spans") and refused(collector, "log_records")):
            during |= sender.record(100, size=5000)
            sender.do("flush")
        assert "no space left on device" in collector.log()
        free(collector)
        kept = sender.record(20, size=5000)
        sender.do("flush")
        lost = refused(collector, "spans")
        backend.become(Fault.NONE)
        eventually(lambda: kept <= backend.span_ids() & backend.log_ids(), "what came when there was space again")
        after = sender.record(100)
        eventually(lambda: after <= backend.span_ids() & backend.log_ids(), "what came after the outage")
        everything = during | kept | after
        eventually(lambda: len(backend.span_ids()) == len(everything) - lost, "all spans but those counted as lost")
        report = sender.do("stop")
        # Spans are chosen from before they are queued, so the collector answers for them; of log records it tells
        # the sender at once.
        assert (refused(collector, "spans"), report["spans_lost"]) == (lost, 0)
        told = report["logs_lost"]
        eventually(lambda: len(everything - backend.log_ids()) <= told, "all log records but those counted as lost")


def refused(collector: Collector, item: str) -> float:
    """How many the collector could not queue, tries of the same ones included."""
    return collector.own_value(f"otelcol_exporter_enqueue_failed_{item}")
