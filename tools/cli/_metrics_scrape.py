"""What `/metrics` says about tools and breakers, in figures: two scrapes in, rates and quantiles out. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Figures", "Scrape", "ToolFigures", "figures", "read_scrape"]

_STATES: Final = {0: "closed", 1: "open", 2: "half-open"}


@dataclass(slots=True)
class _Tool:
    executions: float = 0.0
    failures: float = 0.0
    active: float = 0.0
    seconds: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict[float, float])


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of `/metrics`, taken at `when` on the monotonic clock."""

    when: float
    tools: Mapping[str, _Tool]
    breakers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ToolFigures:
    """One tool. `rate` is executions per second between the two scrapes, None with one; times in seconds.

    Error ratio and quantiles are those of the time between the scrapes if anything ran, else of all time.
    `buckets` are upper bounds with the number of executions in each, not added up.
    """

    tool: str
    executions: int
    failures: int
    active: int
    rate: float | None
    error_ratio: float
    mean: float
    p50: float
    p95: float
    p99: float
    buckets: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is shown."""

    tools: tuple[ToolFigures, ...]
    breakers: Mapping[str, str]


def read_scrape(text: str, when: float) -> Scrape:
    """Read Prometheus' text format. Raises ValueError when it is none.

    >>> scrape = read_scrape('circuit_breaker_state{name="nmap"} 1.0' + chr(10), 0.0)
    >>> scrape.breakers
    {'nmap': 'open'}
    """
    tools: defaultdict[str, _Tool] = defaultdict(_Tool)
    breakers: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels, value = sample.labels, sample.value
            match sample.name:
                case "mcp_tool_execution_total":
                    tools[labels.get("tool", "")].executions += value
                    tools[labels.get("tool", "")].failures += value if labels.get("status") != "success" else 0.0
                case "mcp_tool_active":
                    tools[labels.get("tool", "")].active += value
                case "mcp_tool_execution_seconds_sum":
                    tools[labels.get("tool", "")].seconds += value
                case "mcp_tool_execution_seconds_bucket":
                    tools[labels.get("tool", "")].buckets[float(labels.get("le", "inf"))] = value
                case "circuit_breaker_state":
                    breakers[labels.get("name", "")] = _STATES.get(int(value), str(value))
                case _:
                    continue
    return Scrape(when, dict(tools), breakers)


def figures(new: Scrape, old: Scrape | None = None) -> Figures:
    """What `new` says, and what happened since `old`."""
    tools = [_tool(name, tool, old, new.when) for name, tool in sorted(new.tools.items())]
    return Figures(tuple(tools), dict(sorted(new.breakers.items())))


def _tool(name: str, tool: _Tool, old: Scrape | None, when: float) -> ToolFigures:
    before = old.tools.get(name, _Tool()) if old is not None else None
    since, rate = tool, None
    if before is not None and old is not None and when > old.when:
        grown = tool.executions - before.executions
        # A counter that fell belongs to a process that was started anew.
        fresh = before if grown >= 0 else _Tool()
        rate = (tool.executions - fresh.executions) / (when - old.when)
        if tool.executions > fresh.executions:
            since = _difference(tool, fresh)
    counts = _counts(since.buckets)
    ratio = since.failures / since.executions if since.executions else 0.0
    mean = since.seconds / since.executions if since.executions else 0.0
    p50, p95, p99 = (_quantile(counts, q) for q in (0.5, 0.95, 0.99))
    buckets = tuple((bound, int(count)) for bound, count in counts)
    return ToolFigures(
        name, int(tool.executions), int(tool.failures), int(tool.active), rate, ratio, mean, p50, p95, p99, buckets
    )


def _difference(new: _Tool, old: _Tool) -> _Tool:
    buckets = {bound: count - old.buckets.get(bound, 0.0) for bound, count in new.buckets.items()}
    return _Tool(new.executions - old.executions, new.failures - old.failures, 0.0, new.seconds - old.seconds, buckets)


def _counts(buckets: Mapping[float, float]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    below = 0.0
    for bound in sorted(buckets):
        found.append((bound, max(0.0, buckets[bound] - below)))
        below = buckets[bound]
    return found


def _quantile(counts: Sequence[tuple[float, float]], q: float) -> float:
    """The value at `q`, interpolated inside its bucket as PromQL's `histogram_quantile` does.

    >>> _quantile([(1.0, 10.0), (2.0, 10.0), (float("inf"), 0.0)], 0.75)
    1.5
    """
    rank = q * sum(count for _, count in counts)
    lower = below = 0.0
    for bound, count in counts:
        if count and below + count >= rank:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / count
        lower, below = bound if not math.isinf(bound) else lower, below + count
    return 0.0
