"""The collector is killed with full queues: what was on disk arrives, and the rest is in somebody's figures of loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.collector import Collector, free_ports, running
from support.faulty_backend import Fault, FaultyBackend
from support.faulty_sender import Sender, sending
from support.polling import eventually

if TYPE_CHECKING:
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)


ACCEPTED = "otelcol_receiver_accepted_spans"
SENT = "otelcol_exporter_sent_spans"
REFUSED_BY_QUEUE = "otelcol_exporter_enqueue_failed_spans"
WAITING = "otelcol_processor_tail_sampling_sampling_traces_on_memory"


def on_disk(ids: set[str], directory: Path, signal: str) -> set[str]:
    """Those whose ids lie in the file of this signal's queue, which holds requests as they came, uncompressed."""
    (file,) = (directory / "queue").glob(f"*_{signal}")
    stored = file.read_bytes()
    return {one for one in ids if bytes.fromhex(one) in stored}


def put_away(collector: Collector, kept: set[str]) -> bool:
    """Whether all that the collector accepted in this life is kept, or counted as refused by a full queue."""
    return collector.own_value(ACCEPTED) == len(kept) + collector.own_value(REFUSED_BY_QUEUE)


def resumed(sender: Sender, backend: FaultyBackend) -> set[str]:
    """Record until something new arrives by itself; all that was recorded meanwhile."""
    recorded: set[str] = set()

    def arrives() -> bool:
        recorded.update(sender.record(10))
        sender.do("flush")
        return bool(recorded & backend.span_ids() & backend.log_ids())

    eventually(arrives, "new spans and log records to arrive")
    return recorded


def test_what_was_on_disk_survives_a_crash_and_the_rest_is_counted(collector_binary: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with FaultyBackend(Fault.DOWN) as backend, sending(port, tmp_path) as sender:
        # The smallest queue that its batches allow, so that it can be filled.
        environ = backend.environ | {"OTELCOL_OTLP_GRPC": f"127.0.0.1:{port}", "OTELCOL_QUEUE_BYTES": "300000"}
        before: set[str] = set()
        with running(collector_binary, tmp_path, environ) as collector:
            while not collector.own_value(REFUSED_BY_QUEUE):
                before |= sender.record(200, size=500)
                sender.do("flush")
            eventually(
                lambda: put_away(collector, on_disk(before, tmp_path, "traces")), "what was accepted to be put away"
            )
            refused = collector.own_value(REFUSED_BY_QUEUE)
            collector.kill()
        kept, kept_records = on_disk(before, tmp_path, "traces"), on_disk(before, tmp_path, "logs")
        assert 0 < len(kept) < len(before), "the queue was full"
        dead = sender.record(100)
        sender.do("flush")
        backend.become(Fault.NONE)
        with running(collector_binary, tmp_path, environ) as collector:
            after = resumed(sender, backend)
            report = sender.do("stop")
            eventually(lambda: kept <= backend.span_ids(), "every span that was on disk")
            eventually(lambda: kept_records <= backend.log_ids(), "every log record that was on disk")
            # Until the backend has emptied it, the queue is still full.
            eventually(lambda: put_away(collector, after & backend.span_ids()), "all that came after the restart")
            refused += collector.own_value(REFUSED_BY_QUEUE)
    recorded, arrived = before | dead | after, backend.span_ids()
    assert not dead & arrived
    assert arrived <= kept | after
    lost = len(recorded) - len(arrived)
    assert lost == report["spans_lost"] + refused, "by the sender's account, and by the collector's"
    assert len(recorded - backend.log_ids()) <= report["logs_lost"]


def test_what_waited_in_memory_for_the_choice_is_lost_and_counted(collector_binary: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    # Nothing speaks for a trace without an error or an event: it waits for the end of the time for choosing.
    settings = {"OTELCOL_OTLP_GRPC": f"127.0.0.1:{port}", "OTELCOL_SAMPLE_PERCENT": "0"}
    with FaultyBackend() as backend, sending(port, tmp_path) as sender:
        environ = backend.environ | settings
        with running(collector_binary, tmp_path, environ) as collector:
            dull = sender.record(100, eventful=False)
            eventful = sender.record(50)
            sender.do("flush")
            eventually(lambda: eventful <= backend.span_ids() & backend.log_ids(), "what is chosen at once")
            eventually(lambda: collector.own_value(WAITING) >= len(dull), "the others to wait in memory")
            assert collector.own_value(ACCEPTED) == len(dull | eventful), "as the last scrape before the crash says"
            assert collector.own_value(SENT) == len(eventful), "and this"
            collector.kill()
        with running(collector_binary, tmp_path, environ) as collector:
            after = resumed(sender, backend)
            report = sender.do("stop")
            assert collector.own_value(WAITING) <= len(after), "nothing of before"
    assert not dull & backend.span_ids()
    assert report["spans_lost"] <= len(after), "to the sender they were delivered; the collector's figures tell of them"
