"""The panels in use, as thin functions over the Grafana Foundation SDK: one look, one data source, one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    nodegraph,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmaps
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SOURCE", "STATES", "bars", "buckets", "lines", "network", "number", "ranking", "states"]

SOURCE: Final = options.DataSourceRef(type_val="prometheus", uid="${datasource}")

# The service pushes once a minute: with a smaller step a rate would see at most one point.
_STEP: Final = "1m"

# By the end of a legend: what went well looks alike on every panel, and so does what did not.
_MEANINGS: Final = {"success": "green", "failure": "red", "rejected": "orange", "ignored": "purple"}

STATES: Final = {"0": ("closed", "green"), "1": ("open", "red"), "2": ("half-open", "orange")}
"""What the values of `circuit_breaker_state` mean."""


def lines(
    title: str, about: str, queries: Mapping[str, str], *, unit: str = "short", width: int = 12, exemplars: bool = False
) -> Any:
    """Lines over time, one for each series. `queries` are by legend."""
    panel = timeseries.Panel().fill_opacity(8).show_points(options.VisibilityMode.NEVER)
    return _over_time(panel, title, about, queries, unit, width, exemplars=exemplars)


def bars(
    title: str, about: str, queries: Mapping[str, str], *, unit: str = "short", width: int = 12, empty: str = "no data"
) -> Any:
    """Stacked bars over time: how many, of which kind; `empty` without any."""
    stacked = common.StackingConfig().mode(options.StackingMode.NORMAL)
    panel = timeseries.Panel().draw_style(options.GraphDrawStyle.BARS).fill_opacity(80).stacking(stacked)
    panel = panel.no_value(empty)
    return _over_time(panel, title, about, queries, unit, width)


def number(
    title: str,
    about: str,
    query: str,
    *,
    unit: str = "short",
    width: int = 4,
    limits: tuple[float, float] | None = None,
    mapping: Mapping[str, tuple[str, str]] | None = None,
    legend: str = "",
    empty: str = "no data",
) -> Any:
    """The value now, in a colour: green, from the first limit orange, from the second red; `empty` without one."""
    panel = stat.Panel().color_mode(options.BigValueColorMode.VALUE).graph_mode(options.BigValueGraphMode.NONE)
    panel = panel.thresholds(_thresholds(limits)).min(0).no_value(empty).reduce_options(_latest())
    if mapping:
        panel = panel.mappings([_mapped(mapping)])
    return _panel(panel, title, about, {legend: query}, unit, width, 4, instant=True)


def ranking(
    title: str, about: str, queries: Mapping[str, str], *, unit: str = "short", width: int = 8, empty: str = "no data"
) -> Any:
    """The values now as horizontal bars, one for each series; `empty` without any."""
    panel = bargauge.Panel().orientation(options.VizOrientation.HORIZONTAL).min(0)
    panel = panel.display_mode(options.BarGaugeDisplayMode.BASIC).thresholds(_thresholds(None))
    panel = panel.reduce_options(_latest()).no_value(empty)
    return _panel(panel, title, about, queries, unit, width, 8, instant=True)


def states(
    title: str, about: str, queries: Mapping[str, str], mapping: Mapping[str, tuple[str, str]], *, width: int = 24
) -> Any:
    """Bands of colour over time, one row for each series."""
    panel = statetimeline.Panel().mappings([_mapped(mapping)]).merge_values(True).row_height(0.8)
    return _panel(panel, title, about, queries, "short", width, 7)


def buckets(title: str, about: str, query: str, *, width: int = 12) -> Any:
    """A heat map of a histogram's buckets, in seconds, with exemplars."""
    axis = heatmap.YAxisConfig().unit("s")
    panel = heatmap.Panel().calculate(False).y_axis(axis).cell_gap(1).exemplars_color("rgba(255,0,255,0.9)")
    panel = panel.color(
        heatmap.HeatmapColorOptions().mode(heatmaps.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    )
    return _panel(panel, title, about, {"{{le}}": query}, "s", width, 8, exemplars=True, form=PromQueryFormat.HEATMAP)


def network(title: str, about: str, query: str, *, unit: str = "reqps", width: int = 12) -> Any:
    """A graph of who calls whom: one edge for each series with the labels client and server."""
    # Grafana makes the nodes by itself from the ends of the edges, which need a field `id`.
    edges = f'label_join({query}, "id", " to ", "client", "server")'
    names = {"client": "source", "server": "target", "Value": "mainstat"}
    organised = models.DataTransformerConfig(
        id_val="organize", options={"renameByName": names, "excludeByName": {"Time": True}}
    )
    panel = nodegraph.Panel().edges(nodegraph.EdgeOptions().main_stat_unit(unit)).transformations([organised])
    return _panel(panel, title, about, {"": edges}, unit, width, 8, instant=True, form=PromQueryFormat.TABLE)


def _over_time(
    panel: Any, title: str, about: str, queries: Mapping[str, str], unit: str, width: int, *, exemplars: bool = False
) -> Any:
    legend = common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)
    panel = panel.legend(legend.display_mode(options.LegendDisplayMode.LIST)).tooltip(tooltip).min(0)
    for word, colour in _MEANINGS.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel = panel.override_by_regexp(f"/{word}$/", [models.DynamicConfigValue(id_val="color", value=fixed)])
    return _panel(panel, title, about, queries, unit, width, 8, exemplars=exemplars)


def _panel(
    panel: Any,
    title: str,
    about: str,
    queries: Mapping[str, str],
    unit: str,
    width: int,
    height: int,
    *,
    instant: bool = False,
    exemplars: bool = False,
    form: PromQueryFormat | None = None,
) -> Any:
    panel = panel.title(title).description(about).datasource(SOURCE).unit(unit).span(width).height(height)
    for letter, (legend, expression) in zip("ABCDEFGH", queries.items(), strict=False):
        target = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter).interval(_STEP)
        target = target.instant() if instant else target.range()
        if exemplars:
            target = target.exemplar(True)
        if form is not None:
            target = target.format(form)
        panel = panel.with_target(target)
    return panel


def _latest() -> Any:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _thresholds(limits: tuple[float, float] | None) -> Any:
    steps = [models.Threshold(color="green")]
    if limits:
        steps += [models.Threshold(limit, colour) for limit, colour in zip(limits, ("orange", "red"), strict=True)]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapped(mapping: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    shown = enumerate(mapping.items())
    return models.ValueMap(
        {value: models.ValueMappingResult(text=text, color=colour, index=at) for at, (value, (text, colour)) in shown}
    )
