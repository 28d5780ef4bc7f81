"""The dashboards that are shipped: fresh, of the classic form, and asking only for what exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from support.promql import KNOWN, faults, for_prometheus
from tracefuse.telemetry import INSTRUMENTS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "telemetry/dashboards"
BOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]
every_board = pytest.mark.parametrize("name", BOARDS)
every_panel = pytest.mark.parametrize("panel", PANELS)


def test_the_committed_dashboards_are_what_the_generator_writes(tmp_path: Path) -> None:
    # As a process, because it needs an SDK that the package itself must never load.
    subprocess.run([sys.executable, ROOT / "deploy/grafana/generator", tmp_path], check=True, timeout=60)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert committed == written, "run: .venv/bin/python deploy/grafana/generator"


def test_there_are_four() -> None:
    assert set(BOARDS) == {"tracefuse-service", "tracefuse-breakers", "tracefuse-scans", "tracefuse-telemetry"}


@every_board
def test_a_dashboard_can_be_imported_anywhere(name: str) -> None:
    board = BOARDS[name]
    assert board["schemaVersion"] == 42
    assert board["uid"] == name
    assert "id" not in board
    assert board["tags"] == ["tracefuse"]
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    chosen = [panel["datasource"]["uid"] for panel in board["panels"] if panel["type"] != "row"]
    assert set(chosen) == {"${datasource}"}


@every_board
def test_no_two_panels_overlap_and_all_fit(name: str) -> None:
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@every_board
def test_every_variable_in_use_is_declared_and_every_declared_one_is_used(name: str) -> None:
    board = BOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)\}?", json.dumps(board)))
    assert declared == used
    assert {"datasource", "job", "instance"} <= declared


@every_board
def test_variables_take_their_values_from_labels_that_exist(name: str) -> None:
    queries = [one["query"] for one in BOARDS[name]["templating"]["list"] if one["type"] == "query"]
    assert queries
    for query in queries:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        assert match, query
        selector = for_prometheus(match[1])
        assert faults(selector) == []
        assert match[2] in KNOWN[promql_parser.parse(selector).name], query


@every_panel
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


@every_panel
def test_a_panel_asks_only_for_metrics_and_labels_that_exist(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expression = for_prometheus(target["expr"])
        assert "$" not in expression
        assert faults(expression) == []


@every_panel
def test_a_legend_names_only_labels_that_the_query_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        bare = promql_parser.parse(for_prometheus(target["expr"]))
        if isinstance(bare, promql_parser.VectorSelector | promql_parser.Call) and not kept:
            kept = {"instance"}
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


def test_breakers_that_are_open_are_marked_where_their_cost_is_seen() -> None:
    for name in ("tracefuse-service", "tracefuse-breakers"):
        (mark,) = BOARDS[name]["annotations"]["list"]
        assert faults(for_prometheus(mark["expr"])) == []


def test_latency_panels_ask_for_exemplars() -> None:
    asking = {
        name: {panel["title"] for panel in board["panels"] if any(t.get("exemplar") for t in panel.get("targets", ()))}
        for name, board in BOARDS.items()
    }
    assert {"Duration by tool", "Durations"} <= asking["tracefuse-service"]
    assert "Scan duration" in asking["tracefuse-scans"]


def test_every_instrument_is_on_a_dashboard() -> None:
    asked = " ".join(target["expr"] for panel in PANELS for target in panel.values[0]["targets"])
    assert [row.name for row in INSTRUMENTS.values() if row.prometheus not in asked] == []


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("sum(rate(mcp_tool_executions_total[5m]))", "no such metric"),
        ('mcp_tool_active{target="10.0.0.7"}', "has no label target"),
        ("sum by (target) (mcp_tool_active)", "nothing here has the label target"),
        ("mcp_tool_active / on (host) mcp_tool_active", "nothing here has the label host"),
        ("sum(mcp_tool_active", "does not parse"),
    ],
)
def test_the_check_finds_what_is_wrong(query: str, fault: str) -> None:
    assert any(fault in found for found in faults(query))


def test_the_package_never_loads_what_only_the_generator_needs() -> None:
    sources = [path for folder in ("telemetry", "resilience", "tools") for path in (ROOT / folder).rglob("*.py")]
    assert sources
    assert [path for path in sources if "grafana_foundation_sdk" in path.read_text(encoding="utf-8")] == []
