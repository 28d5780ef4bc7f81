"""What telemetry with a sidecar costs, with real processes: `python benchmarks/bench_sidecar.py`.

A service, a collector and a backend on loopback. Scans take turns with each other and with nmap alone; a round is
one of each, and what counts is the median over the rounds of the ratio within each. Rates and CPU are of this
machine, which the service, the collector, the backend and this program share. Leaves with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / ".ns")]

from support.collector import Collector, CollectorMissingError, find_collector, running  # noqa: E402
from support.faulty_backend import Fault, FaultyBackend  # noqa: E402
from support.faulty_sender import Sender, sending  # noqa: E402
from support.faulty_service import FIXED, serving  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NMAP = shutil.which("nmap") or "nmap"
SHORT = "-p 1-1000"
TICKS = os.sysconf("SC_CLK_TCK")
RATES = (250, 500, 1_000, 2_000, 4_000, 8_000)
SECONDS = 3
DEFAULTS = {"OTEL_BSP_SCHEDULE_DELAY": "5000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "512"}
ACCEPTED = "otelcol_receiver_accepted_spans"
DEADLINE = 2.0

Action = Callable[[], object]
Breaking = Callable[[], AbstractContextManager[None]]


def show(what: str, value: float) -> None:
    """Print a ratio that has no goal."""
    print(f"  {what:<56}{value:>6.2f} x")


def judge(what: str, value: float, goal: float, unit: str = "x") -> bool:
    """Print a figure beside its goal; whether it is met."""
    met = value <= goal
    print(f"  {what:<56}{value:>6.2f} {unit}  goal <= {goal:g}  {'met' if met else 'MISSED'}")
    return met


def in_turns(contestants: Mapping[str, Action], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant in each round."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, action in contestants.items():
            began = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - began)
    return times


def ratio(times: Mapping[str, list[float]], name: str, base: str) -> float:
    return median(a / b for a, b in zip(times[name], times[base], strict=True))


def alone(arguments: str) -> Action:
    command = [NMAP, "-n", "-T4", "-Pn", *arguments.split(), "127.0.0.1"]
    return lambda: subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-sidecar-") as directory:
        yield Path(directory)


def overhead(binary: Path, rounds: int) -> None:
    """A scan over HTTP, recorded in full and sent to a collector, against nmap alone."""
    print("A scan: the service over HTTP, with sidecar, against nmap alone")
    with ExitStack() as stack:
        backend = stack.enter_context(FaultyBackend())
        with_sidecar, without = stack.enter_context(folder()), stack.enter_context(folder())
        collector = stack.enter_context(running(binary, with_sidecar, backend.environ))
        full = stack.enter_context(serving(collector.grpc, with_sidecar))
        off = stack.enter_context(serving(collector.grpc, without, OTEL_SDK_DISABLED="true"))
        for what, arguments, times_over in (("of half a second", FIXED, 1), ("short", SHORT, 3)):
            contestants = {
                "nmap": alone(arguments),
                "off": lambda arguments=arguments: off.scan(arguments),
                "full": lambda arguments=arguments: full.scan(arguments),
            }
            times = in_turns(contestants, rounds * times_over)
            took = median(times["nmap"]) * 1e3
            show(f"{what}, {took:.0f} ms: service with sidecar / nmap", ratio(times, "full", "nmap"))
            show("  service without telemetry / nmap", ratio(times, "off", "nmap"))
            show("  telemetry's part: service with / without it", ratio(times, "full", "off"))


def beside_faults(binary: Path, rounds: int) -> bool:
    """Scans while the backend fails, or the collector is frozen, against scans while all is well."""
    print("A scan of half a second while something is broken, against one while nothing is")
    with ExitStack() as stack:
        directory, backend = stack.enter_context(folder()), stack.enter_context(FaultyBackend())
        collector = stack.enter_context(running(binary, directory, backend.environ))
        service = stack.enter_context(serving(collector.grpc, directory))
        broken = {
            f"the backend: {fault.value}": backend_with(backend, fault) for fault in Fault if fault.value != "healthy"
        }
        met = True
        for what, breaking in (broken | {"the collector: frozen": frozen(collector)}).items():

            def scan_beside_it(breaking: Breaking = breaking) -> None:
                with breaking():
                    service.scan(FIXED)

            times = in_turns({"well": lambda: service.scan(FIXED), "broken": scan_beside_it}, rounds)
            met &= judge(what, ratio(times, "broken", "well"), 1.05)
        return met


def backend_with(backend: FaultyBackend, fault: Fault) -> Breaking:
    @contextmanager
    def breaking() -> Iterator[None]:
        backend.become(fault)
        try:
            yield
        finally:
            backend.become(Fault.NONE)

    return breaking


def frozen(collector: Collector) -> Breaking:
    @contextmanager
    def breaking() -> Iterator[None]:
        collector.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            collector.process.send_signal(signal.SIGCONT)

    return breaking


def cpu(process: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def throughput(binary: Path) -> None:
    """Spans a second until the first is lost, with the SDK's and the sidecar's defaults."""
    print(f"Spans through a service and the collector to a backend, {SECONDS} seconds a rate")
    for kept, spans_each in (("20", 10), ("100", 10), ("100", 1)):
        print(f"  traces of {spans_each} spans, {kept} % of them kept")
        for rate in RATES:
            with ExitStack() as stack:
                directory, backend = stack.enter_context(folder()), stack.enter_context(FaultyBackend())
                environ = backend.environ | {"OTELCOL_SAMPLE_PERCENT": kept}
                collector = stack.enter_context(running(binary, directory, environ))
                sender = stack.enter_context(sending(collector.grpc, directory, **DEFAULTS))
                lost = at_rate(rate, spans_each, sender, collector)
            if lost:
                break


def at_rate(rate: int, spans_each: int, sender: Sender, collector: Collector) -> float:
    """Record at this rate; the share that was lost."""
    count = rate * SECONDS
    sender.record(100, eventful=False)
    sender.do("flush")
    before = sender.do("usage")["cpu"], cpu(collector.process.pid), collector.own_value(ACCEPTED)
    whole = {"count": count // spans_each, "rate": rate / spans_each, "children": spans_each - 1, "eventful": False}
    done = sender.do("record", **whole)
    report = sender.do("stop", deadline=10.0)
    used = sender.do("usage")["cpu"] - before[0], cpu(collector.process.pid) - before[1]
    lost = 1 - (collector.own_value(ACCEPTED) - before[2]) / count
    print(
        f"    {rate:>6} a second (reached {count / done['seconds']:.0f}): lost {lost:.1%}, told as lost "
        f"{report['spans_lost'] / count:.1%}; CPU for 1,000 spans: service {used[0] / count * 1e6:.0f} ms, "
        f"collector {used[1] / count * 1e6:.0f} ms"
    )
    return lost


def ending(binary: Path) -> bool:
    """The end of a process, and of the whole service, whose collector hangs."""
    print(f"The end beside a frozen collector, deadline {DEADLINE:g} s; the longest of three")
    goal = DEADLINE + 0.5
    process = judge("a process that records", max(end_of_sender(binary) for _ in range(3)), goal, "s")
    service = judge("tracefuse serve, from the signal on", max(end_of_service(binary) for _ in range(3)), goal, "s")
    return process & service


def end_of_sender(binary: Path) -> float:
    with folder() as directory, running(binary, directory) as collector, sending(collector.grpc, directory) as sender:
        sender.record(100)
        with frozen(collector)():
            sender.record(1500)
            began = time.perf_counter()
            sender.do("stop", deadline=DEADLINE)
            assert sender.process.stdin is not None
            sender.process.stdin.close()
            sender.process.wait(30)
            return time.perf_counter() - began


def end_of_service(binary: Path) -> float:
    deadline = {"TRACEFUSE_TELEMETRY_SHUTDOWN_DEADLINE": str(DEADLINE)}
    with (
        folder() as directory,
        running(binary, directory) as collector,
        serving(collector.grpc, directory, **deadline) as service,
    ):
        service.scan()
        with frozen(collector)():
            service.scan()
            began = time.perf_counter()
            service.process.send_signal(signal.SIGTERM)
            service.process.wait(30)
            return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    try:
        binary = find_collector()
    except CollectorMissingError as missing:
        print(f"not measured: {missing}")
        return 0
    overhead(binary, rounds)
    throughput(binary)
    met = [beside_faults(binary, rounds), ending(binary)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
