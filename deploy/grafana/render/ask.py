"""What a panel's queries answer: from Prometheus, in the form that the drawing needs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Prometheus", "Series", "Span", "substituted"]


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a dashboard shows: seconds since the epoch, and between two points."""

    start: float
    end: float
    step: float


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name by the panel's legend, its labels, and its finite points."""

    name: str
    labels: Mapping[str, str]
    times: list[float]
    values: list[float]


def substituted(expression: str, span: Span) -> str:
    """A panel's expression as Grafana would send it, with everything chosen in its variables.

    >>> substituted('rate(x{job=~"$job"}[$__rate_interval])', Span(0.0, 600.0, 15.0))
    'rate(x{job=~".*"}[60s])'
    """
    seconds = span.end - span.start
    fixed = {
        "$__rate_interval": f"{max(60.0, 4 * span.step):g}s",
        "$__range_s": f"{seconds:g}",
        "$__range": f"{seconds:g}s",
    }
    chosen = dict.fromkeys(("$job", "$instance", "$tool", "$template", "$breaker", "$collector"), ".*")
    for variable, value in (fixed | chosen).items():
        expression = expression.replace(variable, value)
    return expression


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def series(self, target: Mapping[str, Any], span: Span) -> list[Series]:
        """The answer to one query of a panel: over the time, or at its end for an instant query."""
        expression = substituted(target["expr"], span)
        if target.get("instant"):
            found = self._ask("query", query=expression, time=span.end)["result"]
            return list(_finite(target, ((one["metric"], [one["value"]]) for one in found)))
        found = self._ask("query_range", query=expression, start=span.start, end=span.end, step=span.step)["result"]
        return list(_finite(target, ((one["metric"], one["values"]) for one in found)))

    def exemplars(self, target: Mapping[str, Any], span: Span) -> list[tuple[float, float]]:
        """Time and value of each exemplar of the series that a query reads."""
        expression = substituted(target["expr"], span)
        found = self._ask("query_exemplars", query=expression, start=span.start, end=span.end)
        return [(one["timestamp"], float(one["value"])) for series in found for one in series["exemplars"]]

    def _ask(self, path: str, **parameters: object) -> Any:
        url = f"{self._url}/api/v1/{path}?{urlencode(parameters)}"
        with urlopen(url, timeout=30) as answer:  # noqa: S310 - a Prometheus that the caller names
            return json.load(answer)["data"]


def _finite(target: Mapping[str, Any], found: Any) -> Iterator[Series]:
    for labels, points in found:
        kept = [(float(at), float(value)) for at, value in points if math.isfinite(float(value))]
        if kept:
            yield Series(_name(target, labels), labels, [at for at, _ in kept], [value for _, value in kept])


def _name(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    name = str(target.get("legendFormat", ""))
    for label, value in labels.items():
        name = name.replace("{{" + label + "}}", value)
    while "{{" in name:
        before, _, rest = name.partition("{{")
        name = before + rest.partition("}}")[2]
    return " ".join(name.split())
