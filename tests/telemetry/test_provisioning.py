"""What an operator copies and reads beside the dashboards: linked data sources, a guide, runbooks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from support.promql import faults
from tracefuse.telemetry import INSTRUMENTS, TOOL_ERROR_TYPES
from tracefuse.tools import Settings

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "deploy/grafana/provisioning"
GUIDE = (ROOT / "docs/dashboards.md").read_text(encoding="utf-8")


def sources() -> dict[str, dict[str, Any]]:
    text = (PROVISIONING / "datasources/tracefuse.yaml").read_text(encoding="utf-8")
    return {source["type"]: source for source in yaml.safe_load(text)["datasources"]}


def test_exemplars_lead_to_traces_and_spans_to_metrics() -> None:
    prometheus, tempo = sources()["prometheus"], sources()["tempo"]
    (link,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert link == {"name": "trace_id", "datasourceUid": tempo["uid"]}
    assert tempo["jsonData"]["tracesToMetrics"]["datasourceUid"] == prometheus["uid"]
    assert tempo["jsonData"]["serviceMap"]["datasourceUid"] == prometheus["uid"]


def test_the_queries_from_a_span_ask_only_for_what_exists() -> None:
    for query in sources()["tempo"]["jsonData"]["tracesToMetrics"]["queries"]:
        assert faults(query["query"].replace("$$__tags", 'job="tracefuse"')) == []


def test_the_dashboards_are_read_from_one_folder() -> None:
    text = (PROVISIONING / "dashboards/tracefuse.yaml").read_text(encoding="utf-8")
    (provider,) = yaml.safe_load(text)["providers"]
    assert provider["options"]["path"] in GUIDE


def test_the_guide_lists_every_dashboard_and_every_alert_with_its_severity() -> None:
    boards = [json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "telemetry/dashboards").glob("*.json")]
    assert set(re.findall(r"^\| (Tracefuse / [^|]+?) \|", GUIDE, re.MULTILINE)) == {board["title"] for board in boards}
    text = (ROOT / "telemetry/rules/alerts.yaml").read_text(encoding="utf-8")
    alerts = {rule["alert"]: rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]}
    listed = dict(re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (\w+) \|", GUIDE, re.MULTILINE))
    assert listed == {name: rule["labels"]["severity"] for name, rule in alerts.items()}


def test_settings_and_metrics_in_the_runbooks_exist() -> None:
    known = (ROOT / "otel-collector.yaml").read_text(encoding="utf-8")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/runbooks").glob("*.md")))
    assert [name for name in re.findall(r"\bOTELCOL_[A-Z_]+[A-Z]\b", text + GUIDE) if name not in known] == []
    settings = {
        f"TRACEFUSE_{name}_{part}".upper()
        for name, group in Settings.model_fields.items()
        for part in getattr(type(group.default), "model_fields", ())
    } | {f"TRACEFUSE_{name}".upper() for name in Settings.model_fields}
    assert set(re.findall(r"\bTRACEFUSE_[A-Z_]+[A-Z]\b", text + GUIDE)) <= settings
    metrics = set(re.findall(r"`((?:mcp|circuit_breaker|tracefuse)_\w+)`", text))
    assert metrics <= {row.prometheus for row in INSTRUMENTS.values()} | TOOL_ERROR_TYPES
