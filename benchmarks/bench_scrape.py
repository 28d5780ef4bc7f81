"""What a scrape of /metrics costs against prometheus_client with the same series: `python benchmarks/bench_scrape.py`.

Counters and histograms, some of each, in the classic text and in OpenMetrics. Contestants take turns, in CPU time
of the thread; a round is one scrape of each, and what counts is the median over the rounds of the ratio within
each. prometheus_client is as it comes, with `_created` series, and for information without them. Leaves with 1
when a goal is missed.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, enable_created_metrics
from prometheus_client.exposition import choose_encoder

from tracefuse.telemetry import DURATION_BOUNDARIES, configure

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL = 1.1
SIZES = (10, 1_000, 10_000)
FORMATS = {"classic": "text/plain", "OpenMetrics": "application/openmetrics-text; version=1.0.0"}
VALUES = (0.004, 0.03, 0.3, 3.0, 30.0)


def labels(count: int) -> list[dict[str, str]]:
    return [{"tool": f"tool{number}", "error.type": "timeout" if number % 2 else "none"} for number in range(count)]


def tools(count: int) -> range:
    """As many tools as histograms make `count` samples: each has a sample per bucket, and two more."""
    return range(max(1, count // (len(DURATION_BOUNDARIES) + 3)))


def ours(count: int, kind: str) -> Callable[[str], bytes]:
    # Without the SDK's series about itself, which the other side does not have.
    telemetry = configure({"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "false"}, set_global=False)
    held = telemetry.instrumentation
    if kind == "counters":
        counter = held.counter("mcp.tool.errors")
        for one in labels(count):
            counter.add(1, one)
    else:
        histogram = held.histogram("mcp.tool.execution.seconds")
        for number in tools(count):
            for value in VALUES:
                histogram.record(value, {"tool": f"tool{number}"})
    return lambda accept: telemetry.exposition(accept).body


def theirs(count: int, kind: str, *, created: bool) -> Callable[[str], bytes]:
    registry = CollectorRegistry()
    if kind == "counters":
        counter = Counter("mcp_tool_errors", "Total tool errors", ("tool", "error_type"), registry=registry)
        for one in labels(count):
            counter.labels(*one.values()).inc()
    else:
        histogram = Histogram(
            "mcp_tool_execution_seconds", "Time", ("tool",), registry=registry, buckets=DURATION_BOUNDARIES
        )
        for number in tools(count):
            for value in VALUES:
                histogram.labels(f"tool{number}").observe(value)

    def scrape(accept: str) -> bytes:
        encoder, _ = choose_encoder(accept)
        (enable_created_metrics if created else disable_created_metrics)()
        return encoder(registry)

    return scrape


def milliseconds(scrape: Callable[[str], bytes], accept: str, times: int) -> float:
    gc.collect()
    began = time.thread_time()
    for _ in range(times):
        scrape(accept)
    return (time.thread_time() - began) / times * 1e3


def compare(count: int, kind: str, rounds: int) -> bool:
    with_created, without = theirs(count, kind, created=True), theirs(count, kind, created=False)
    contestants = {"ours": ours(count, kind), "theirs": with_created, "without": without}
    met = True
    for name, accept in FORMATS.items():
        times: dict[str, list[float]] = {one: [] for one in contestants}
        repeats = max(1, 1_000 // count)
        for _ in range(rounds):
            for one, scrape in contestants.items():
                times[one].append(milliseconds(scrape, accept, repeats))
        ratio = median(a / b for a, b in zip(times["ours"], times["theirs"], strict=True))
        bare = median(a / b for a, b in zip(times["ours"], times["without"], strict=True))
        met &= ratio <= GOAL
        mine, other = median(times["ours"]), median(times["theirs"])
        print(
            f"  {count:>6} {kind:<11}{name:<12}{mine:>9.2f} ms against{other:>9.2f} ms{ratio:>7.2f} x  "
            f"goal <= {GOAL:g} x  {'met' if ratio <= GOAL else 'MISSED':<7}(without _created {bare:.2f} x)"
        )
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print("A scrape, CPU time, against prometheus_client with the same series")
    met = [compare(count, kind, rounds) for kind in ("counters", "histograms") for count in SIZES]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
