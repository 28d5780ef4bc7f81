"""What a guarded, traced scan costs over starting nmap oneself, on loopback.

    python benchmarks/bench_scan.py [ROUNDS]

Contestants take turns; a round is one run of each, and what counts is the median over the rounds of the
ratio within each, which other work on the machine shifts little. Telemetry is on, with every span and log
record on its way to an exporter. Where the time of a scan goes is read from its own trace. Leaves with 1
when a goal is missed.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tracefuse.telemetry import configure
from tracefuse.tools import ScanRequest, Settings, build, spawn
from tracefuse.tools._process import Command, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from tracefuse.tools import App

Action = "Callable[[], Awaitable[object] | None]"

NMAP = shutil.which("nmap") or "nmap"
TRUE = shutil.which("true") or "/bin/true"
TARGET = "127.0.0.1"
CASES = (("-n -sn", 1.15, 3.0, 1.0), ("-n -p 1-1000", 1.08, None, 0.25))
"""Arguments, at most so many times nmap alone, at most so many milliseconds over it, share of the rounds."""


async def milliseconds(action: Action) -> float:
    began = time.perf_counter()
    waiting = action()
    if waiting is not None:
        await waiting
    return (time.perf_counter() - began) * 1e3


async def in_turns(contestants: dict[str, Action], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, action in contestants.items():
            times[name].append(await milliseconds(action))
    return times


def alone(*arguments: str) -> None:
    subprocess.run([NMAP, *arguments, TARGET], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)


async def streamed(app: App, arguments: str) -> None:
    async for _ in app.stream(ScanRequest(TARGET, arguments)):
        pass


def scans(app: App, arguments: str) -> dict[str, Action]:
    words = arguments.split()
    return {
        "nmap alone": lambda: alone(*words),
        "nmap alone, with XML": lambda: alone("-v", "--stats-every", "1s", "-oX", "-", *words),
        "scan": lambda: app.scan(ScanRequest(TARGET, arguments)),
        "stream": lambda: streamed(app, arguments),
    }


def children() -> dict[str, Action]:
    def started(command: Command) -> Action:
        return lambda: run(command, lambda chunk: None, spawn=spawn)

    def plain() -> None:
        subprocess.run([TRUE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)

    return {
        "subprocess.run": plain,
        "a child": started(Command(argv=(TRUE,))),
        "a child with a terminal": started(Command(argv=(TRUE,), terminal=True)),
    }


def show(times: dict[str, list[float]]) -> None:
    floor = next(iter(times.values()))
    for name, values in times.items():
        ratio = median(value / base for value, base in zip(values, floor, strict=True))
        print(f"  {name:<26}{min(values):>8.2f} ms fastest{median(values):>9.2f} ms median{ratio:>8.2f} x median")


def show_parts(spans: Sequence[ReadableSpan]) -> None:
    """Where the time goes: before nmap's own span, in it, after it."""
    traces: dict[int, dict[str, ReadableSpan]] = {}
    for span in spans:
        traces.setdefault(span.context.trace_id, {})[span.name] = span
    whole = [trace for trace in traces.values() if {"nmap scan", "nmap"} <= trace.keys()]
    before = median(trace["nmap"].start_time - trace["nmap scan"].start_time for trace in whole)
    within = median(trace["nmap"].end_time - trace["nmap"].start_time for trace in whole)
    after = median(trace["nmap scan"].end_time - trace["nmap"].end_time for trace in whole)
    print(
        f"  of a scan's trace: {before / 1e6:.2f} ms before nmap, {within / 1e6:.2f} with it, {after / 1e6:.2f} after"
    )


def judge(times: dict[str, list[float]], most: float, most_over: float | None) -> bool:
    pairs = list(zip(times["scan"], times["nmap alone"], strict=True))
    ratio, over = median(scan / base for scan, base in pairs), median(scan - base for scan, base in pairs)
    missed = ratio > most or (most_over is not None and over > most_over)
    limit = f"{most:g} x" if most_over is None else f"{most:g} x and {most_over:g} ms"
    print(f"  {ratio:.2f} x and {over:.2f} ms over nmap alone   goal <= {limit}{'  MISSED' if missed else ''}")
    return missed


async def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    kept = InMemorySpanExporter()
    telemetry = configure(
        {},
        set_global=False,
        span_processors=[BatchSpanProcessor(kept)],
        log_processors=[BatchLogRecordProcessor(InMemoryLogRecordExporter())],
    )
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        app = build(Settings(cache_dir=Path(folder)), instrumentation=telemetry.instrumentation)
        for arguments, most, most_over, share in CASES:
            await app.scan(ScanRequest(TARGET, arguments))
            kept.clear()
            print(f"nmap {arguments} {TARGET}")
            times = await in_turns(scans(app, arguments), max(round(rounds * share), 5))
            show(times)
            telemetry.tracer_provider.force_flush()
            show_parts(kept.get_finished_spans())
            missed += judge(times, most, most_over)
    print("a child that does nothing")
    show(await in_turns(children(), rounds))
    telemetry.shutdown()
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
