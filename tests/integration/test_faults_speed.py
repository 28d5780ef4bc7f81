"""Scans are not slowed by what happens behind them: a backend in trouble, or a collector that is frozen."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from itertools import cycle, islice
from statistics import median
from typing import TYPE_CHECKING

import pytest

from support.collector import Collector, running
from support.components import component
from support.faulty_backend import Fault, FaultyBackend
from support.faulty_service import FIXED, ScanService, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The first test on a machine builds the collector, which takes minutes.
pytestmark = [pytest.mark.timeout(600), component("nmap")]

BOUND = 1.25
"""Room for a busy machine; `benchmarks/bench_sidecar.py` has the figure. Waiting for an export would be 3."""


def seconds(service: ScanService) -> float:
    began = time.perf_counter()
    service.scan(FIXED)
    return time.perf_counter() - began


@contextmanager
def frozen(collector: Collector) -> Iterator[None]:
    """It takes connections, and nothing more."""
    collector.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        collector.process.send_signal(signal.SIGCONT)


def test_scans_are_not_slowed(collector_binary: Path, tmp_path: Path) -> None:
    faults = [fault for fault in Fault if fault is not Fault.NONE]
    healthy: list[float] = []
    troubled: list[float] = []
    beside_frozen: list[float] = []
    with (
        FaultyBackend() as backend,
        running(collector_binary, tmp_path, backend.environ) as collector,
        serving(collector.grpc, tmp_path) as service,
    ):
        service.scan(FIXED)
        for fault in islice(cycle(faults), 7):
            backend.become(Fault.NONE)
            healthy.append(seconds(service))
            backend.become(fault)
            troubled.append(seconds(service))
            backend.become(Fault.NONE)
            with frozen(collector):
                beside_frozen.append(seconds(service))
    assert median(troubled) / median(healthy) < BOUND
    assert median(beside_frozen) / median(healthy) < BOUND
