"""Telemetry health: whether what the other dashboards show is all there was."""

from __future__ import annotations

from frame import COLLECTOR, SERVICE, Dashboard, assemble
from panels import bars, lines, number
from queries import by, collector, growth, increase, rate, sdk, select, share

__all__ = ["losses"]

_SIGNALS = ("span", "log")
_TOOK = "otel_sdk_exporter_operation_duration_seconds"
_ITEMS = {"spans": "spans", "logs": "log_records", "metrics": "metric_points"}
_REFUSED = {name: collector(f"otelcol_receiver_refused_{item}") for name, item in _ITEMS.items()}
_DROPPED = {one: sdk(f"otel_sdk_processor_{one}_processed_total", 'error_type!=""') for one in _SIGNALS}
_FAILED = {
    one: sdk(f"otel_sdk_exporter_{one}_exported_total", 'error_type!=""') for one in (*_SIGNALS, "metric_data_point")
}


def losses() -> Dashboard:
    """Zero everywhere is the healthy picture; every loss is counted somewhere here."""
    return assemble(
        "tracefuse-telemetry",
        "Tracefuse / Telemetry health",
        "Queues, drops and export errors of the SDK in the service and of the collector.",
        SERVICE | COLLECTOR,
        {
            "Now": _now(),
            "In the service": _service(),
            "In the collector": _collector(),
            "Sampling of traces": _sampling(),
            "Its resources": _resources(),
        },
    )


def _now() -> list[object]:
    queues = " or ".join(
        f"{sdk(f'otel_sdk_processor_{one}_queue_size')} / {sdk(f'otel_sdk_processor_{one}_queue_capacity')}"
        for one in _SIGNALS
    )
    used = f"{collector('otelcol_exporter_queue_size')} / {collector('otelcol_exporter_queue_capacity')}"
    dropped = " + ".join(f"(sum({growth(series)}) or vector(0))" for series in _DROPPED.values())
    refused = " + ".join(f"(sum({growth(series)}) or vector(0))" for series in _REFUSED.values())
    enqueue = " + ".join(
        f"(sum({growth(collector(f'otelcol_exporter_enqueue_failed_{item}'))}) or vector(0))"
        for item in ("spans", "log_records")
    )
    return [
        number("Collector up", "Collectors that Prometheus reaches.", f"count({collector('otelcol_process_uptime')})"),
        number("SDK queue", "Fullest queue in a service.", f"max({queues})", unit="percentunit", limits=(0.5, 0.9)),
        number("Dropped by SDKs", "Spans and log records lost in services.", dropped, limits=(1, 100)),
        number(
            "Refused by collectors",
            "Items that collectors refused: senders retry, then lose.",
            refused,
            limits=(1, 100),
        ),
        number("Collector queue", "Fullest queue.", f"max({used})", unit="percentunit", limits=(0.5, 0.9)),
        number("Found full queues", "Items that collectors sent back for want of room.", enqueue, limits=(1, 100)),
    ]


def _service() -> list[object]:
    return [
        lines(
            "SDK queues used",
            "Spans and log records that wait for export, as a share of what the queue holds. The oldest go first.",
            {
                f"{one}s {{{{instance}}}}": by(
                    "instance",
                    f"{sdk(f'otel_sdk_processor_{one}_queue_size')} / "
                    f"{sdk(f'otel_sdk_processor_{one}_queue_capacity')}",
                )
                for one in _SIGNALS
            },
            unit="percentunit",
        ),
        bars(
            "Processed and dropped",
            "Without an error type: handed on. queue_full: dropped, because the collector was too slow or away.",
            {
                f"{one}s {{{{error_type}}}}": by(
                    "error_type", increase(sdk(f"otel_sdk_processor_{one}_processed_total"))
                )
                for one in _SIGNALS
            },
        ),
        bars(
            "Export errors",
            "Items of exports that failed, by error. Lost metrics cost nothing: the next export has the totals.",
            {f"{one}s {{{{error_type}}}}": by("error_type", increase(series)) for one, series in _FAILED.items()},
        ),
        # The mean, because the SDK's buckets for this are too wide for quantiles: the first ends at five seconds.
        lines(
            "Export duration, mean",
            "From the service to the collector.",
            {
                "{{otel_component_type}}": by("otel_component_type", rate(sdk(f"{_TOOK}_sum")))
                + " / "
                + by("otel_component_type", rate(sdk(f"{_TOOK}_count")))
            },
            unit="s",
        ),
        bars(
            "Values repaired",
            "Values that had to be mended before they were recorded, and tools whose figures were let go.",
            {
                "repaired {{reason}}": by("reason", increase(select("tracefuse.metrics.repaired"))),
                "evicted {{reason}}": by("reason", increase(select("tracefuse.metrics.evictions"))),
            },
            width=24,
        ),
    ]


def _collector() -> list[object]:
    def each(prefix: str, labels: str, legend: str) -> dict[str, str]:
        return {f"{name} {legend}": by(labels, rate(collector(f"{prefix}_{item}"))) for name, item in _ITEMS.items()}

    def failed(prefix: str) -> dict[str, str]:
        """Such a counter is not there before the first failure; until then its exporters show zero."""
        zero = "0 * sum by (exporter) (" + collector("otelcol_exporter_queue_capacity") + ")"
        return {
            f"{name} {{{{exporter}}}}": f"{by('exporter', increase(collector(f'{prefix}_{item}')))} or {zero}"
            for name, item in _ITEMS.items() if name != "metrics"
        }  # fmt: skip

    return [
        lines("Accepted", "Items per second.", each("otelcol_receiver_accepted", "transport", "{{transport}}")),
        lines(
            "Refused",
            "Items per second that went back, for want of memory or room in a queue. Senders retry, then lose.",
            {name: f"sum({rate(series)})" for name, series in _REFUSED.items()},
        ),
        lines(
            "Collector queues used",
            "Share of each queue's bytes on disk. It fills while a backend is away.",
            {
                "{{exporter}} {{data_type}}": by("exporter, data_type", collector("otelcol_exporter_queue_size"))
                + " / "
                + by("exporter, data_type", collector("otelcol_exporter_queue_capacity"))
            },
            unit="percentunit",
        ),
        lines("Sent", "Items per second, by exporter.", each("otelcol_exporter_sent", "exporter", "{{exporter}}")),
        bars(
            "Not queued",
            "Items that found a full queue: senders retry, then lose. Each retry counts again.",
            failed("otelcol_exporter_enqueue_failed"),
        ),
        bars("Not sent", "Items lost because a backend refused them for good.", failed("otelcol_exporter_send_failed")),
    ]


def _sampling() -> list[object]:
    """Leaving traces out is no loss when a policy decided it; it is one when room ran out."""
    prefix = "otelcol_processor_tail_sampling"
    kept = collector(f"{prefix}_global_count_traces_sampled", 'sampled="true"')
    seen = collector(f"{prefix}_global_count_traces_sampled")
    return [
        bars(
            "Traces kept by policy",
            "Policies that spoke for a trace; one trace may have several.",
            {"{{policy}}": by("policy", increase(collector(f"{prefix}_count_traces_sampled", 'sampled="true"')))},
            width=6,
        ),
        lines(
            "Share of traces kept",
            "Of the traces that were decided on.",
            {"{{instance}}": share("instance", rate(kept), rate(seen))},
            unit="percentunit",
            width=6,
        ),
        lines(
            "Traces that wait",
            "In memory, until a policy speaks for them or their time is over. At 2,000 the oldest gives way.",
            {"{{instance}}": collector(f"{prefix}_sampling_traces_on_memory")},
            width=6,
        ),
        bars(
            "Traces too large",
            "Dropped, because each was larger than one may be while it waits.",
            {"{{instance}}": by("instance", increase(collector(f"{prefix}_traces_dropped_too_large")))},
            width=6,
        ),
    ]


def _resources() -> list[object]:
    return [
        lines(
            "Memory",
            "Resident memory; the limiter acts on the heap.",
            {"{{instance}}": collector("otelcol_process_memory_rss")},
            unit="bytes",
            width=8,
        ),
        lines("CPU", "Cores in use.", {"{{instance}}": rate(collector("otelcol_process_cpu_seconds"))}, width=8),
        lines(
            "In flight",
            "Exports that wait for a backend's answer.",
            {"{{exporter}} {{data_type}}": by("exporter, data_type", collector("otelcol_exporter_in_flight_requests"))},
            width=8,
        ),
    ]
