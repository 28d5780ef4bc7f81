"""Metrics for the eye and for other programs: a table with sparklines, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._metrics_scrape import Figures, ToolFigures

__all__ = ["History", "as_csv", "as_json", "as_table", "sparkline"]

_BARS: Final = "▁▂▃▄▅▆▇█"
_STYLES: Final = {"closed": "green", "open": "red", "half-open": "yellow"}
_FIELDS: Final = [
    *("tool", "executions", "failures", "active", "rate", "error_ratio", "mean", "p50", "p95", "p99"),
]


class History:
    """The last rates of each tool, for the sparkline; of tools that are gone nothing is kept."""

    def __init__(self, length: int = 30) -> None:
        self._rates: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=length))

    def add(self, found: Figures) -> None:
        """Take in one more round."""
        names = {tool.tool for tool in found.tools}
        for gone in [name for name in self._rates if name not in names]:
            del self._rates[gone]
        for tool in found.tools:
            if tool.rate is not None:
                self._rates[tool.tool].append(tool.rate)

    def of(self, tool: str) -> str:
        """The sparkline of `tool`."""
        return sparkline(self._rates[tool])


def sparkline(values: Iterable[float]) -> str:
    """Values as a line of bars, the highest at the top.

    >>> sparkline([0, 1, 2, 4])
    '▁▂▄█'
    """
    shown = list(values)
    highest = max(shown, default=0.0)
    return "".join(_BARS[min(7, int(value / highest * 7.999)) if highest > 0 else 0] for value in shown)


def as_table(found: Figures, history: History | None = None) -> Table:
    """One row for each tool, and the breakers below."""
    table = Table(box=None, pad_edge=False, header_style="bold", caption=_breakers(found), caption_justify="left")
    for column in ("tool", "runs", "active", "per s", "failed", "p50", "p95", "p99"):
        table.add_column(column, justify="left" if column == "tool" else "right", no_wrap=True)
    table.add_column("rate")
    for tool in found.tools:
        failed = f"[red]{tool.error_ratio:.1%}[/red]" if tool.error_ratio >= 0.1 else f"{tool.error_ratio:.1%}"
        rate = "–" if tool.rate is None else f"{tool.rate:.2f}"
        quantiles = (_seconds(value) for value in (tool.p50, tool.p95, tool.p99))
        spark = history.of(tool.tool) if history is not None else ""
        name = escape("".join(c if c.isprintable() else "?" for c in tool.tool))
        table.add_row(name, str(tool.executions), str(tool.active), rate, failed, *quantiles, spark)
    return table


def _breakers(found: Figures) -> str | None:
    if not found.breakers:
        return None
    shown = (
        f"{escape(name)}: [{style}]{state}[/{style}]"
        for name, state in found.breakers.items()
        for style in (_STYLES.get(state, "default"),)
    )
    return f"breakers  {', '.join(shown)}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def as_json(found: Figures) -> str:
    """The figures as JSON."""
    return json.dumps({"tools": [_row(tool) for tool in found.tools], "breakers": dict(found.breakers)}, indent=2)


def as_csv(found: Figures) -> str:
    """The tools as CSV; a name that a spreadsheet would take for a formula gets a leading quote."""
    out = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(out, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for tool in found.tools:
        name = f"'{tool.tool}" if tool.tool.startswith(("=", "+", "-", "@")) else tool.tool
        writer.writerow(_row(tool) | {"tool": name})
    return out.getvalue()


def _row(tool: ToolFigures) -> dict[str, Any]:
    return {name: getattr(tool, name) for name in _FIELDS}
