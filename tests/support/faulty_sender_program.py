"""The process behind `faulty_sender`: records what it is told to, one JSON object a line in and out.

Each span is a trace of its own, or the root of one. An eventful one has a breaker's transition in it, which is also a
log record: tail sampling keeps every such trace, so that what does not arrive was lost and not left out.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from support.memory import peak_kib
from tracefuse.telemetry import Event, Telemetry, configure, emit_event, exporter_check


def record(
    telemetry: Telemetry, *, count: int, rate: float = 0.0, size: int = 0, eventful: bool = True, children: int = 0
) -> dict[str, Any]:
    """`count` spans, `rate` a second if that is not 0, with a note of `size` bytes, and children; their ids."""
    held = telemetry.instrumentation
    ids: list[str] = []
    began = time.perf_counter()
    for number in range(count):
        with held.tracer.start_as_current_span("nmap scan", attributes={"note": "x" * size}) as span:
            if eventful:
                emit_event(held.logger, Event.TRANSITION, {"name": "nmap", "to_state": "open"})
            for _ in range(children):
                held.tracer.start_span("phase").end()
            held.counter("mcp.tool.execution").add(1, {"tool": "nmap", "status": "success", "error.type": "none"})
        ids.append(f"{span.get_span_context().span_id:016x}")
        if rate:
            time.sleep(max(0.0, began + (number + 1) / rate - time.perf_counter()))
    return {"spans": ids, "seconds": time.perf_counter() - began}


def flush(telemetry: Telemetry) -> dict[str, Any]:
    """Hand on what waits, whatever becomes of it."""
    for provider in (telemetry.tracer_provider, telemetry.logger_provider, telemetry.meter_provider):
        provider.force_flush(10_000)  # type: ignore[union-attr]
    return {}


def health(telemetry: Telemetry) -> dict[str, Any]:
    return exporter_check(telemetry)().to_dict()


def metrics(telemetry: Telemetry) -> dict[str, Any]:
    return {"text": telemetry.exposition().body.decode()}


def usage(_: Telemetry) -> dict[str, Any]:
    """Peak memory in KiB and CPU seconds so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"peak": peak_kib(), "cpu": used.ru_utime + used.ru_stime}


def stop(telemetry: Telemetry, *, deadline: float = 5.0) -> dict[str, Any]:
    return asdict(telemetry.shutdown(deadline))


ORDERS: dict[str, Callable[..., dict[str, Any]]] = {
    "record": record,
    "flush": flush,
    "health": health,
    "metrics": metrics,
    "usage": usage,
    "stop": stop,
}


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with configure(service_name="sender") as telemetry:
        for line in sys.stdin:
            order = json.loads(line)
            answer = ORDERS[order.pop("do")](telemetry, **order)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
