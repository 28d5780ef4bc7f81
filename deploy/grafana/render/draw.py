"""One function for each kind of panel that the dashboards have."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import look
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ask import Series, Span
    from matplotlib.axes import Axes

__all__ = ["KINDS"]

Panel = dict[str, Any]
_NAMES = 6
"""So many series are named below a panel; the rest is counted."""


def over_time(axes: Axes, panel: Panel, series: list[Series], exemplars: list[tuple[float, float]], span: Span) -> None:
    """Lines, or stacked bars."""
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    colours = look.colours([one.name for one in series], panel["fieldConfig"].get("overrides", []))
    if custom.get("drawStyle") == "bars":
        _bars(axes, series, colours, span)
    else:
        for one, colour in zip(series, colours, strict=True):
            _line(axes, one, colour, span.step)
        for at, value in exemplars:
            axes.plot(
                at, value, marker="D", markersize=3.2, color="#3274D9", markeredgecolor="white", markeredgewidth=0.5
            )
    axes.set_ylim(bottom=0)
    if axes.get_ylim()[1] <= 0.0601 and not any(value for one in series for value in one.values):
        axes.set_ylim(0, 1)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: look.shown(value, unit)))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    _clock(axes, span)
    _legend(axes, series, colours)


def _line(axes: Axes, one: Series, colour: str, step: float) -> None:
    """A line that breaks where there is no data."""
    times, values = [one.times[0]], [one.values[0]]
    for at, value in zip(one.times[1:], one.values[1:], strict=True):
        if at - times[-1] > 1.5 * step:
            times.append(times[-1] + step)
            values.append(math.nan)
        times.append(at)
        values.append(value)
    axes.plot(times, values, color=colour, linewidth=1.4)
    axes.fill_between(times, values, color=colour, alpha=0.08, linewidth=0)


def _bars(axes: Axes, series: list[Series], colours: list[str], span: Span) -> None:
    below: dict[float, float] = {}
    for one, colour in zip(series, colours, strict=True):
        bottoms = [below.get(time, 0.0) for time in one.times]
        axes.bar(one.times, one.values, span.step * 0.8, bottoms, color=colour, alpha=0.85, linewidth=0)
        for time, value in zip(one.times, one.values, strict=True):
            below[time] = below.get(time, 0.0) + value


def number(axes: Axes, panel: Panel, series: list[Series], _exemplars: object, _span: Span) -> None:
    """One value, large."""
    defaults = panel["fieldConfig"]["defaults"]
    axes.axis("off")
    if not series:
        axes.text(
            0.5, 0.45, defaults.get("noValue", "no data"), ha="center", va="center", fontsize=18, color=look.FAINT
        )
        return
    for at, one in enumerate(series[:3]):
        value = one.values[-1]
        words = look.mapped(value, defaults.get("mappings", []))
        text, colour = words or (
            look.shown(value, defaults["unit"]),
            look.threshold(value, defaults["thresholds"]["steps"]),
        )
        height = 1 - (at + 0.55) / len(series[:3])
        if one.name:
            text = f"{one.name}: {text}"
        size = 22 if len(series) == 1 and len(text) < 9 else 14
        axes.text(0.5, height, text, ha="center", va="center", fontsize=size, color=colour, fontweight="bold")


def states(axes: Axes, panel: Panel, series: list[Series], _exemplars: object, span: Span) -> None:
    """Bands of colour, a row for each series."""
    mappings = panel["fieldConfig"]["defaults"].get("mappings", [])
    meanings: dict[str, str] = {}
    for row, one in enumerate(series):
        for at, value in zip(one.times, one.values, strict=True):
            text, colour = look.mapped(value, mappings) or (f"{value:g}", look.FAINT)
            meanings[text] = colour
            axes.add_patch(Rectangle((at - span.step, row + 0.1), span.step * 1.02, 0.8, color=colour, linewidth=0))
    axes.set_ylim(max(1, len(series)), 0)
    axes.set_yticks([row + 0.5 for row in range(len(series))], [one.name for one in series])
    axes.grid(visible=False)
    _clock(axes, span)
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in meanings.values()]
    _place_legend(axes, handles, list(meanings))


def ranking(axes: Axes, panel: Panel, series: list[Series], _exemplars: object, _span: Span) -> None:
    """The values at the end, as horizontal bars."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    best = sorted(series, key=lambda one: -one.values[-1])[:8]
    values = [one.values[-1] for one in best]
    axes.barh(range(len(best)), values, 0.6, color=look.COLOURS["green"], alpha=0.85)
    most = max(values, default=0) or 1
    for row, value in enumerate(values):
        axes.text(value + most * 0.02, row, look.shown(value, unit), va="center", fontsize=8, color=look.INK)
    axes.set_xlim(0, most * 1.25)
    axes.set_ylim(max(len(best), 3) - 0.5, -0.5)
    axes.set_yticks(range(len(best)), [one.name for one in best])
    axes.set_xticks([])
    axes.grid(visible=False)


def buckets(axes: Axes, panel: Panel, series: list[Series], exemplars: list[tuple[float, float]], span: Span) -> None:
    """A heat map of a histogram's cumulative buckets."""
    bounds = sorted((float(one.labels["le"]), one) for one in series)
    used = [at for at, (_, one) in enumerate(bounds) if any(one.values)]
    bounds = bounds[max(0, (used[0] if used else 0) - 1) :]
    full = next((at for at, (_, one) in enumerate(bounds) if one.values == bounds[-1][1].values), len(bounds) - 1)
    bounds = bounds[: full + 2]
    colours = LinearSegmentedColormap.from_list("oranges", ["#ffffff", "#FFB357", "#C4162A"])
    counts = [dict(zip(one.times, one.values, strict=True)) for _, one in bounds]
    rows = [
        {at: value - (counts[row - 1].get(at, 0.0) if row else 0.0) for at, value in count.items()}
        for row, count in enumerate(counts)
    ]
    most = max((value for row in rows for value in row.values()), default=1) or 1
    for row, cells in enumerate(rows):
        for at, value in cells.items():
            if value > 0:
                colour = colours(0.15 + 0.85 * value / most)
                axes.add_patch(Rectangle((at - span.step, row), span.step * 0.92, 0.92, color=colour, linewidth=0))
    limits = [limit for limit, _ in bounds]
    for at, value in exemplars:
        row = next((row for row, limit in enumerate(limits) if value <= limit), None)
        if row is not None:
            axes.plot(
                at, row + 0.5, marker="D", markersize=3.2, color="#C837AB", markeredgecolor="white", markeredgewidth=0.5
            )
    axes.set_ylim(0, max(1, len(bounds)))
    names = ["+Inf" if math.isinf(limit) else look.shown(limit, "s") for limit in limits]
    axes.set_yticks([row + 0.5 for row in range(len(names))], names)
    axes.grid(visible=False)
    _clock(axes, span)


def network(axes: Axes, panel: Panel, series: list[Series], _exemplars: object, _span: Span) -> None:
    """Who calls whom: nodes in columns by their distance from the first caller."""
    axes.axis("off")
    edges = [(one.labels["client"], one.labels["server"], one.values[-1]) for one in series]
    columns = _columns(edges)
    places = {
        node: ((at + 0.5) / len(columns), 1 - (row + 0.5) / len(nodes))
        for at, nodes in enumerate(columns)
        for row, node in enumerate(nodes)
    }
    for client, server, value in edges:
        arrow = FancyArrowPatch(
            places[client],
            places[server],
            arrowstyle="-|>",
            mutation_scale=14,
            shrinkA=30,
            shrinkB=30,
            color=look.FAINT,
        )
        axes.add_patch(arrow)
        middle = [(one + other) / 2 for one, other in zip(places[client], places[server], strict=True)]
        axes.text(middle[0], middle[1] + 0.07, look.shown(value, "reqps"), ha="center", fontsize=9, color=look.INK)
    for node, (x, y) in places.items():
        axes.scatter([x], [y], s=1500, facecolor="white", edgecolor=look.COLOURS["green"], linewidth=2.5, zorder=3)
        axes.text(x, y, node, ha="center", va="center", fontsize=9, color=look.INK, zorder=4)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _columns(edges: list[tuple[str, str, float]]) -> list[list[str]]:
    """Nodes by how many calls lie before them at least; a circle is cut where it was entered."""
    servers = {server for _, server, _ in edges}
    column = [node for node in dict.fromkeys(client for client, _, _ in edges) if node not in servers]
    columns, placed = [], set[str]()
    column = column or [edges[0][0]] if edges else []
    while column:
        columns.append(column)
        placed.update(column)
        following = (server for client, server, _ in edges if client in column)
        column = [node for node in dict.fromkeys(following) if node not in placed]
    return columns


def _clock(axes: Axes, span: Span) -> None:
    axes.set_xlim(span.start, span.end)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{datetime.fromtimestamp(at, UTC):%H:%M}"))


def _legend(axes: Axes, series: list[Series], colours: list[str]) -> None:
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    names = [one.name or "value" for one in series]
    if len(names) > _NAMES:
        names = [*names[: _NAMES - 1], f"and {len(names) - _NAMES + 1} more"]
        handles = [*handles[: _NAMES - 1], Rectangle((0, 0), 1, 1, color="white")]
    _place_legend(axes, handles, names)


def _place_legend(axes: Axes, handles: list[Rectangle], names: list[str]) -> None:
    if names:
        axes.legend(
            handles, names, loc="upper left", bbox_to_anchor=(-0.02, -0.13), ncols=3, frameon=False, fontsize=7.5,
            handlelength=1, handleheight=0.6, columnspacing=1.2, borderaxespad=0, labelcolor=look.INK,
        )  # fmt: skip


KINDS: Mapping[str, Callable[..., None]] = {
    "timeseries": over_time,
    "stat": number,
    "state-timeline": states,
    "bargauge": ranking,
    "heatmap": buckets,
    "nodeGraph": network,
}
"""By Grafana's name of the panel."""
