"""What all dashboards share: data source, variables, links to one another, the mark of an open breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models
from panels import SOURCE
from queries import select

from tracefuse.telemetry import INSTRUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["BREAKER", "COLLECTOR", "SERVICE", "TOOL", "Dashboard", "assemble"]

_TAG = "tracefuse"
_STATE = INSTRUMENTS["circuit_breaker.state"].prometheus
_ACTIVE = INSTRUMENTS["mcp.tool.active"].prometheus

Dashboard = builders.Dashboard
Variables = dict[str, str]

SERVICE: Variables = {
    "job": f"label_values({_STATE}, job)",
    "instance": f'label_values({_STATE}{{job=~"$job"}}, instance)',
}
TOOL: Variables = {"tool": f'label_values({_ACTIVE}{{job=~"$job"}}, tool)'}
BREAKER: Variables = {"breaker": f'label_values({_STATE}{{job=~"$job"}}, name)'}
COLLECTOR: Variables = {"collector": "label_values(otelcol_process_uptime, instance)"}


def assemble(uid: str, title: str, about: str, variables: Variables, rows: Mapping[str, Iterable[Any]]) -> Dashboard:
    """The dashboard: its rows in order, each panel numbered."""
    board = Dashboard(title).uid(uid).description(about).tags([_TAG]).time("now-1h", "now").refresh("30s")
    board = board.timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR).link(_others())
    board = board.with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for name, query in variables.items():
        board = board.with_variable(_variable(name, query))
    if "breaker" in variables:
        board = board.annotation(_open_breaker())
    number = 0
    for row, panels in rows.items():
        number += 1
        board = board.with_row(builders.Row(row).id(number))
        for panel in panels:
            number += 1
            board = board.with_panel(panel.id(number))
    return board


def _variable(name: str, query: str) -> builders.QueryVariable:
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    variable = builders.QueryVariable(name).label(name.capitalize()).query(query).datasource(SOURCE)
    variable = variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    return variable.multi(True).include_all(True).all_value(".*").current(everything)


def _open_breaker() -> builders.AnnotationQuery:
    mark = builders.AnnotationQuery().name("Breaker open").datasource(SOURCE).enable(True).icon_color("red")
    return mark.expr(f"{select('circuit_breaker.state')} == 1").step("1m").title_format("{{name}} open")


def _others() -> builders.DashboardLink:
    link = builders.DashboardLink("Tracefuse").type(models.DashboardLinkType.DASHBOARDS).tags([_TAG])
    return link.as_dropdown(True).include_vars(True).keep_time(True)
