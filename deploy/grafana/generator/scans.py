"""Scans and exposure: what was scanned, what was found, what changed, what policy refused."""

from __future__ import annotations

from frame import SERVICE, TOOL, Dashboard, assemble
from panels import bars, lines, number, ranking
from queries import by, derived, growth, happened, increase, quantile, rate, select

__all__ = ["scans"]

_HOSTS = "tracefuse.scan.hosts"
_PORTS = "tracefuse.scan.ports"
_CHANGES = "tracefuse.scan.changes"
_REFUSALS = select("tracefuse.policy.refusals")
_DURATION = "tracefuse.scan.duration"
# A request that is refused has no template yet.
_TEMPLATE = 'span_name="nmap scan", tracefuse_scan_template!="", tracefuse_scan_template=~"$template"'
_SCAN_SPANS = derived("calls_total", _TEMPLATE)
_PHASES = 'span_name=~"phase .*"'
_TEMPLATES = {"template": 'label_values(traces_span_metrics_calls_total{job=~"$job"}, tracefuse_scan_template)'}


def scans() -> Dashboard:
    """What the network shows. Addresses are in traces and logs, never in metrics."""
    return assemble(
        "tracefuse-scans",
        "Tracefuse / Scans and exposure",
        "Scans and their phases, hosts up, open ports, changes between scans, policy refusals by rule.",
        SERVICE | TOOL | _TEMPLATES,
        {
            "In the time range": _totals(),
            "Scans": _scans(),
            "Where the time goes": _phases(),
            "Exposure": _exposure(),
            "Policy": _policy(),
        },
    )


def _totals() -> list[object]:
    def total(title: str, about: str, series: str, limits: tuple[float, float] | None = None) -> object:
        return number(title, about, f"sum({growth(series)})", limits=limits, empty="0")

    return [
        total("Scans", "Scans that ended.", select(_DURATION, suffix="_count")),
        total("Hosts up", "Hosts reported up, counted once for each scan.", select(_HOSTS, 'state="up"')),
        total("Open ports", "Ports reported open, counted once for each scan.", select(_PORTS, 'state="open"')),
        total("Changes", "Differences between two scans of the same targets.", select(_CHANGES)),
        total("Ports opened", "Ports that are open and were not.", select(_CHANGES, 'kind="port_opened"'), (1, 10)),
        total("Refusals", "Requests that policy refused.", _REFUSALS),
    ]


def _scans() -> list[object]:
    return [
        bars(
            "Scans by outcome",
            "Scans that ended.",
            {"{{tool}} {{status}}": by("tool, status", increase(select(_DURATION, suffix="_count")))},
        ),
        lines(
            "Scan duration",
            "Waiting and retries included. Each diamond is one scan: its trace shows phases, hosts and attempts.",
            {
                "{{status}} p50": quantile(0.5, _DURATION, labels="status"),
                "{{status}} p95": quantile(0.95, _DURATION, labels="status"),
            },
            unit="s",
            exemplars=True,
        ),
    ]


def _phases() -> list[object]:
    """From the collector's metrics of spans: they count every span, also of traces that are not kept."""
    buckets = by("le, span_name", rate(derived("duration_seconds_bucket", _PHASES)))
    return [
        lines(
            "Phases of nmap, p95",
            "How long each phase takes by nmap's own clock. Each diamond is one phase of one scan, in its trace.",
            {"{{span_name}}": f"histogram_quantile(0.95, {buckets})"},
            unit="s",
            exemplars=True,
        ),
        bars(
            "Time by phase",
            "Seconds that scans spent in each phase: what to look at first when scans are slow.",
            {"{{span_name}}": by("span_name", increase(derived("duration_seconds_sum", _PHASES)))},
            unit="s",
        ),
        bars(
            "Scans by template",
            "Scans that ended, those that failed included.",
            {"{{tracefuse_scan_template}}": by("tracefuse_scan_template", increase(_SCAN_SPANS))},
            width=8,
        ),
        bars(
            "Scans by caller",
            "Who asks: python, cli, http, mcp, or a schedule.",
            {"{{tracefuse_caller_kind}}": by("tracefuse_caller_kind", increase(_SCAN_SPANS))},
            width=8,
        ),
        lines(
            "Scan duration by template, p95",
            "Each diamond is one scan, in its trace.",
            {
                "{{tracefuse_scan_template}}": "histogram_quantile(0.95, "
                + by(
                    "le, tracefuse_scan_template",
                    rate(derived("duration_seconds_bucket", _TEMPLATE)),
                )
                + ")"
            },
            unit="s",
            width=8,
            exemplars=True,
        ),
    ]


def _exposure() -> list[object]:
    scanned = by("tool", rate(select(_DURATION, suffix="_count")))
    open_ports = by("tool", rate(select(_PORTS, 'state="open"')))
    return [
        bars("Hosts by state", "As scans report them.", {"{{state}}": _counted("state", select(_HOSTS))}, width=8),
        bars("Ports by state", "As scans report them.", {"{{state}}": _counted("state", select(_PORTS))}, width=8),
        lines("Open ports per scan", "The mean.", {"{{tool}}": f"{open_ports} / ({scanned} > 0)"}, width=8),
        bars(
            "Changes by kind",
            "What differs from the scan before: hosts new or gone, ports opened or closed, services, versions.",
            {"{{kind}}": _counted("kind", select(_CHANGES))},
            width=16,
            empty="no changes",
        ),
        ranking(
            "Changes in the time range",
            "By kind.",
            {"{{kind}}": happened(by("kind", growth(select(_CHANGES))))},
            empty="no changes",
        ),
    ]


def _policy() -> list[object]:
    return [
        bars(
            "Refusals by rule",
            "Nothing was started for these. A burst is a misunderstanding or somebody trying doors.",
            {"{{rule}}": _counted("rule", _REFUSALS)},
            width=16,
            empty="no refusals",
        ),
        ranking(
            "Refusals in the time range",
            "By rule.",
            {"{{rule}}": happened(by("rule", growth(_REFUSALS)))},
            empty="no refusals",
        ),
    ]


def _counted(label: str, series: str) -> str:
    """How many at each point of a panel, of those values of `label` that there were."""
    return happened(by(label, increase(series)))
