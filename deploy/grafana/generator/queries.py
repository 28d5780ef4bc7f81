"""PromQL from the table of names: a metric that the table does not have cannot be written."""

from __future__ import annotations

from tracefuse.telemetry import INSTRUMENTS, Attribute

__all__ = [
    "by",
    "collector",
    "derived",
    "graph",
    "growth",
    "happened",
    "increase",
    "quantile",
    "rate",
    "sdk",
    "select",
    "share",
]

_SERVICE = ('job=~"$job"', 'instance=~"$instance"')
_COLLECTOR = ('instance=~"$collector"',)


def select(name: str, *matchers: str, suffix: str = "") -> str:
    """The series of an instrument, within what the dashboard's variables choose."""
    row = INSTRUMENTS[name]
    chosen = [*_SERVICE]
    if Attribute.TOOL in row.attributes:
        chosen.append('tool=~"$tool"')
    if name.startswith("circuit_breaker."):
        chosen.append('name=~"$breaker"')
    return f"{row.prometheus}{suffix}{_braces(*chosen, *matchers)}"


def sdk(name: str, *matchers: str) -> str:
    """A metric of the OpenTelemetry SDK about itself, in the service."""
    return f"{name}{_braces(*_SERVICE, *matchers)}"


def collector(name: str, *matchers: str) -> str:
    """A metric of the collector about itself."""
    return f"{name}{_braces(*_COLLECTOR, *matchers)}"


def derived(name: str, *matchers: str) -> str:
    """A metric that the collector derives from the service's spans; it has the service's job and instance."""
    return f"traces_span_metrics_{name}{_braces(*_SERVICE, *matchers)}"


def graph(name: str) -> str:
    """A metric of the collector's service graph: of the whole of it, which belongs to no single service."""
    return f"traces_service_graph_{name}"


def by(labels: str, expression: str) -> str:
    """The sum by `labels`, written as in PromQL: "tool, status"."""
    return f"sum by ({labels}) ({expression})"


def rate(series: str) -> str:
    """Per second."""
    return f"rate({series}[$__rate_interval])"


def increase(series: str) -> str:
    """How many in the interval that one point of the panel stands for."""
    return f"increase({series}[$__rate_interval])"


def growth(series: str) -> str:
    """How many in the dashboard's whole time range."""
    return f"increase({series}[$__range])"


def happened(counted: str) -> str:
    """Without the series at 0: those of kinds that are declared beforehand would crowd the legend."""
    return f"{counted} > 0"


def share(labels: str, part: str, whole: str) -> str:
    """The share of `part` in `whole`, two rates; 0 where there is no part yet, a gap where there is no traffic."""
    return f"({by(labels, part)} or 0 * {by(labels, whole)}) / {by(labels, whole)}"


def quantile(share_below: float, name: str, *matchers: str, labels: str = "") -> str:
    """A quantile of a histogram, by `labels`."""
    grouped = ", ".join(part for part in ("le", labels) if part)
    return f"histogram_quantile({share_below:g}, {by(grouped, rate(select(name, *matchers, suffix='_bucket')))})"


def _braces(*matchers: str) -> str:
    return "{" + ", ".join(matchers) + "}"
