"""Every query of every dashboard and rule, answered by a real Prometheus fed by a real service and collector."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.collector import ROOT
from support.components import IN_CI, component
from support.live import RECORDED, Live, living
from support.polling import eventually
from support.promql import FOREIGN, KNOWN, for_prometheus
from tracefuse.telemetry import INSTRUMENTS, InstrumentKind

# The first test on a machine builds the collector, which takes minutes.
pytestmark = [pytest.mark.timeout(600), component("prometheus"), component("nmap")]

BOARDS = [
    json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "telemetry/dashboards").glob("*.json"))
]
QUERIES = {
    f"{board['uid']}: {panel['title']} {target['refId']}": target
    for board in BOARDS
    for panel in board["panels"]
    for target in panel.get("targets", ())
}
RULES = [
    rule
    for path in (ROOT / "telemetry/rules").glob("*.yaml")
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


@pytest.fixture(scope="module")
def live(collector_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with living(collector_binary, tmp_path_factory.mktemp("live")) as running:
        yield running


def test_what_is_declared_is_what_comes_out(live: Live) -> None:
    for name in FOREIGN:
        assert live.answer(f"count({name})"), name
    undeclared = {
        (name, label)
        for name, labels in KNOWN.items()
        for series in live.prometheus.ask("series", **{"match[]": name})
        for label in set(series) - {"__name__"} - labels
    }
    assert undeclared == set()


def test_the_service_itself_records_everything_but_what_is_named_above(live: Live) -> None:
    for row in INSTRUMENTS.values():
        if row.name not in RECORDED:
            suffix = "_count" if row.kind is InstrumentKind.HISTOGRAM else ""
            assert live.answer(f'{row.prometheus}{suffix}{{job="tracefuse"}}'), row.name


@pytest.mark.parametrize("name", QUERIES)
def test_a_panel_has_data(live: Live, name: str) -> None:
    assert live.answer(for_prometheus(QUERIES[name]["expr"], time_range="5m"))


@pytest.mark.parametrize("name", [name for name, target in QUERIES.items() if target.get("exemplar")])
def test_a_latency_panel_leads_to_traces(live: Live, name: str) -> None:
    expression = for_prometheus(QUERIES[name]["expr"])
    found = eventually(lambda: live.prometheus.exemplars(expression), f"exemplars of {name}", deadline=10)
    traces = {exemplar["labels"]["trace_id"] for exemplar in found}
    if not any(INSTRUMENTS[recorded].prometheus in expression for recorded in RECORDED):
        assert traces & live.scanner.traces, "the trace of a real scan"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_a_variable_has_something_to_choose(live: Live, board: dict[str, Any]) -> None:
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = variable["query"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            found = live.prometheus.ask(f"label/{label}/values", **{"match[]": for_prometheus(selector)})
            assert found, variable["name"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.get('record') or rule['alert']} {rule.get('labels')}")
def test_a_rule_can_be_evaluated_and_a_recorded_one_has_data(live: Live, rule: dict[str, Any]) -> None:
    if "record" in rule:
        assert live.answer(rule["expr"])
    else:
        assert isinstance(live.prometheus.query(rule["expr"]), list)


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None and not IN_CI, reason="needs matplotlib: pip install --group docs"
)
def test_every_dashboard_can_be_drawn_from_it(live: Live, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "deploy/grafana/render", live.prometheus.url, tmp_path, "--minutes", "3"]
    subprocess.run(command, check=True, timeout=120)
    pictures = {path.stem: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(pictures) == {board["uid"] for board in BOARDS}
    assert all(picture.startswith(b"\x89PNG") and len(picture) < 300_000 for picture in pictures.values())


def test_prometheus_has_loaded_the_rules(live: Live) -> None:
    groups = live.prometheus.ask("rules")["groups"]
    loaded = [rule for group in groups for rule in group["rules"]]
    assert len(loaded) == len(RULES)
    assert {rule["health"] for rule in loaded} <= {"ok", "unknown"}
