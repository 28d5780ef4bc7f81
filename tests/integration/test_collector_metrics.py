"""Metrics through a real collector: the kept names, exemplars, and a real Prometheus that scrapes it."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.collector import ROOT, Collector, free_ports, get, reaped, running
from support.components import component
from support.polling import eventually
from support.service import KEPT, VALUES, Protocol, service

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import Metric
    from prometheus_client.samples import Sample

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)


def families(collector: Collector) -> dict[str, Metric]:
    """What the collector exposes, by the name of the first sample: `x_total` for a counter."""
    parsed = text_string_to_metric_families(collector.metrics())
    return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in parsed}


def sample_of(family: Metric) -> Sample:
    suffix = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
    return next(sample for sample in family.samples if sample.name == family.name + suffix)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_seven_kept_metrics_come_out_with_their_names_labels_and_buckets(
    collector_binary: Path, tmp_path: Path, protocol: Protocol
) -> None:
    with running(collector_binary, tmp_path) as collector, service(collector, protocol) as scanner:
        scanner.record_kept()
        scanner.flush()
        exposed = families(collector)
    assert set(exposed) - {"target_info"} == set(KEPT)
    for name, row in KEPT.items():
        # An empty label is the same as none.
        labels = {key.replace(".", "_"): VALUES[key] for key in row.attributes if VALUES[key]}
        labels |= {"job": "scanner", "instance": "scanner-1"}
        found = dict(sample_of(exposed[name]).labels)
        bound = found.pop("le", None)
        assert {key: value for key, value in found.items() if value} == labels, name
        assert exposed[name].documentation == row.description
        assert (bound is None) == (row.boundaries is None)
    histogram = exposed["mcp_tool_execution_seconds"]
    bounds = [float(sample.labels["le"]) for sample in histogram.samples if "le" in sample.labels]
    assert bounds == [*(KEPT["mcp_tool_execution_seconds"].boundaries or ()), float("inf")]


def test_exemplars_lead_to_the_trace(collector_binary: Path, tmp_path: Path) -> None:
    with running(collector_binary, tmp_path) as collector, service(collector) as scanner:
        trace_id = scanner.record_kept()
        scanner.flush()
        exposed = families(collector)
    for name in ("mcp_tool_execution_seconds", "mcp_tool_execution_total", "mcp_tool_errors_total"):
        exemplars = [sample.exemplar for sample in exposed[name].samples if sample.exemplar]
        assert [exemplar.labels["trace_id"] for exemplar in exemplars] == [trace_id], name


@component("prometheus")
def test_a_real_prometheus_scrapes_the_collector(collector_binary: Path, tmp_path: Path) -> None:
    with running(collector_binary, tmp_path) as collector, service(collector) as scanner:
        trace_id = scanner.record_kept()
        scanner.flush()
        (port,) = free_ports(1)
        shipped = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
        settings = shipped.replace(":8889", f":{collector.prometheus}").replace(":8888", f":{collector.own}")
        (tmp_path / "prometheus.yml").write_text(settings.replace("15s", "1s"), encoding="utf-8")
        command = [
            *("prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"),
        ]
        with (tmp_path / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with reaped(process):
            base = f"http://127.0.0.1:{port}/api/v1"
            (series,) = eventually(lambda: queried(base, "mcp_tool_execution_total"), "the kept counter")
            linked = eventually(lambda: exemplars_of(base, "mcp_tool_execution_seconds_bucket"), "exemplars")
            own = eventually(lambda: queried(base, 'up{job="otelcol"}'), "the collector's own metrics")
    assert series["value"][1] == "1"
    assert series["metric"] == {
        "__name__": "mcp_tool_execution_total",
        "tool": "nmap",
        "status": "success",
        "job": "scanner",
        "instance": "scanner-1",
    }
    assert linked[0]["labels"]["trace_id"] == trace_id
    assert own[0]["value"][1] == "1"


def queried(base: str, query: str) -> list[dict[str, Any]]:
    return json.loads(get(f"{base}/query?" + urllib.parse.urlencode({"query": query})))["data"]["result"]


def exemplars_of(base: str, query: str) -> list[dict[str, Any]]:
    window = {"query": query, "start": "0", "end": "9999999999"}
    data = json.loads(get(f"{base}/query_exemplars?" + urllib.parse.urlencode(window)))["data"]
    return [exemplar for series in data for exemplar in series["exemplars"]]
