"""The rules that are shipped: accepted by promtool, asking only for what exists, each alert with its page and cases."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.components import component
from support.promql import KNOWN, faults

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "telemetry/rules").glob("*.yaml"))
CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


RULES = [rule for path in FILES for group in read(path)["groups"] for rule in group["rules"]]
RECORDED = {rule["record"]: rule for rule in RULES if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTED = [check for path in CASES for test in read(path)["tests"] for check in test["alert_rule_test"]]
every_alert = pytest.mark.parametrize("name", ALERTS)


def kept(expression: str) -> set[str]:
    """The labels that an aggregated expression keeps."""
    found = re.findall(r"(?:sum|max) by \(([^)]*)\)", expression)
    return {label for labels in found for label in re.findall(r"\w+", labels)} - {"le"}


KNOWN_HERE = {
    **KNOWN,
    **{name: kept(rule["expr"]) | set(rule.get("labels", ())) for name, rule in RECORDED.items()},
}


@component("promtool")
def test_promtool_accepts_the_rules() -> None:
    checked = subprocess.run(
        ["promtool", "check", "rules", *FILES], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@component("promtool")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_quiet_as_they_should(path: Path) -> None:
    command = ["promtool", "test", "rules", path.name]
    ran = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "rule", RULES, ids=lambda rule: f"{rule.get('record') or rule['alert']} {rule.get('labels', '')}"
)
def test_a_rule_asks_only_for_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    assert faults(rule["expr"], KNOWN_HERE) == []


@every_alert
def test_an_alert_has_cases_for_firing_and_for_not_firing(name: str) -> None:
    fired = [bool(check["exp_alerts"]) for check in TESTED if check["alertname"] == name]
    assert {True, False} == set(fired)


@every_alert
def test_an_alert_says_what_is_wrong_and_where_to_read_on(name: str) -> None:
    notes = ALERTS[name]["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["description"].endswith(".")
    assert ALERTS[name]["labels"]["severity"] in {"critical", "warning", "info"}
    assert notes["runbook_url"] == f"docs/runbooks/{name}.md"
    page = (ROOT / notes["runbook_url"]).read_text(encoding="utf-8")
    assert page.startswith(f"# {name}\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Look", "## Usual causes", "## Do", "## If it fires too often",
    ]  # fmt: skip


@every_alert
def test_the_text_of_an_alert_names_only_labels_that_it_has(name: str) -> None:
    expression = ALERTS[name]["expr"]
    labels = kept(expression) | {one for record in RECORDED if record in expression for one in KNOWN_HERE[record]}
    # Without an aggregation a series keeps what it came with.
    labels |= {"job", "instance"} if expression.startswith(("up{", "otelcol_")) else set()
    assert set(re.findall(r"\$labels\.(\w+)", " ".join(ALERTS[name]["annotations"].values()))) <= labels


def test_every_runbook_belongs_to_an_alert_and_every_recording_to_a_rule() -> None:
    pages = {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")}
    assert pages == set(ALERTS)
    asked = " ".join(rule["expr"] for rule in ALERTS.values())
    assert [name for name in RECORDED if name not in asked] == []


def test_runbooks_name_panels_settings_and_alerts_that_exist() -> None:
    titles = {
        panel.replace("\\", "")
        for path in (ROOT / "telemetry/dashboards").glob("*.json")
        for panel in re.findall(r'"title": "([^"]+)"', path.read_text(encoding="utf-8"))
    }
    titles |= {title.removeprefix("Tracefuse / ") for title in titles} | {"Targets", "Settings"}
    for path in (ROOT / "docs/runbooks").glob("*.md"):
        page = path.read_text(encoding="utf-8")
        assert set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*", page)) <= titles, path.name
        assert set(re.findall(r"\bTracefuse[A-Z]\w+", page)) <= set(ALERTS), path.name
