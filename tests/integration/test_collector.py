"""otel-collector.yaml and its build: accepted, complete, documented, quiet on its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.collector import BUILD, CONFIGURATION, OVERLAYS, ROOT, configured, isolated, running
from support.service import service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The first test on a machine builds the collector, which takes minutes.
pytestmark = pytest.mark.timeout(600)


SHIPPED = sorted(path.stem for path in OVERLAYS.glob("*.yaml"))
VENDOR = {"OTELCOL_VENDOR_ENDPOINT": "https://otlp.example.com"}
"""The one variable without a default."""


def ask(
    binary: Path, command: str, environ: Mapping[str, str] | None = None, overlays: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [binary, *command.split(), *configured(overlays)],
        env=isolated(environ or {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTELCOL_BACKEND": "otlp_grpc", "OTELCOL_BACKEND_GRPC": "tempo:4317", "OTELCOL_BACKEND_INSECURE": "true"},
        {"OTELCOL_BACKEND": "otlp_http", "OTELCOL_BACKEND_HTTP": "https://otlp.example.com"},
        {"OTELCOL_LOGS_TO": "otlp_http", "OTELCOL_BACKEND_HTTP_LOGS": "http://loki:3100/otlp/v1/logs"},
        {"OTELCOL_METRICS_TO": "otlp_http", "OTELCOL_BACKEND_HEADERS": '{"authorization": "Bearer of-something"}'},
        {"OTELCOL_TARGETS": "redact"},
        {"OTELCOL_TARGETS": "redact", "OTELCOL_TARGETS_HASH": "hmac-sha256", "OTELCOL_TARGETS_HASH_KEY": "k" * 32},
    ],
    ids=lambda environ: ",".join(environ) or "nothing set",
)
def test_the_collector_accepts_the_configuration(collector_binary: Path, environ: dict[str, str]) -> None:
    answer = ask(collector_binary, "validate", environ)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("overlays", [[one] for one in SHIPPED] + [["unsampled", "vendor"], ["unsampled", "debug"]])
def test_the_collector_accepts_every_overlay(collector_binary: Path, overlays: list[str]) -> None:
    answer = ask(collector_binary, "validate", VENDOR, overlays)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("overlay", ["debug", "vendor"])
def test_an_overlay_that_adds_takes_nothing_away(collector_binary: Path, overlay: str) -> None:
    plain, merged = (pipelines(collector_binary, overlays) for overlays in ([], [overlay]))
    assert plain.keys() == merged.keys()
    for name, pipeline in plain.items():
        added = set(merged[name]["exporters"]) - set(pipeline["exporters"])
        assert added <= {"debug", "otlp_http/vendor"}, name
        assert merged[name] | {"exporters": [one for one in merged[name]["exporters"] if one not in added]} == pipeline


def pipelines(binary: Path, overlays: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    return dict(json.loads(ask(binary, "print-config --format json", VENDOR, overlays).stdout)["service"]["pipelines"])


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTELCOL_BACKEND": "tempo"}, 'exporter "tempo" which is not configured'),
        ({"OTELCOL_TARGETS": "drop"}, 'processor "redaction/targets_drop" which is not configured'),
        ({"OTELCOL_TARGETS_HASH": "hmac-sha256"}, "hmac_key must not be empty"),
        ({"OTELCOL_QUEUE_BYTES": "0"}, "`queue_size` must be positive"),
        ({"OTELCOL_SPAN_SERIES": "-1"}, "aggregation_cardinality_limit"),
        ({"OTELCOL_SAMPLE_WAIT": "soon"}, "decision_wait"),
    ],
)
def test_the_collector_names_what_is_wrong_and_does_not_start(
    collector_binary: Path, environ: dict[str, str], named: str
) -> None:
    answer = ask(collector_binary, "validate", environ)
    assert answer.returncode != 0
    assert named in answer.stderr


def test_an_overlay_that_needs_a_setting_says_so(collector_binary: Path) -> None:
    answer = ask(collector_binary, "validate", overlays=["vendor"])
    assert answer.returncode != 0
    assert "otlp_http/vendor: at least one endpoint must be specified" in answer.stderr


def test_the_manifest_has_exactly_the_components_of_the_configurations(collector_binary: Path) -> None:
    if collector_binary.name != "otelcol-tracefuse":
        pytest.skip(f"{collector_binary} was not built from deploy/collector/manifest.yaml")
    printed = json.loads(ask(collector_binary, "print-config --format json", VENDOR, SHIPPED).stdout)
    used = {
        name.partition("/")[0]
        for kind in ("receivers", "processors", "connectors", "exporters", "extensions")
        for name in printed[kind]
    }
    listed = subprocess.run([collector_binary, "components"], capture_output=True, text=True, timeout=30, check=True)
    components, _, _ = listed.stdout.partition("\nproviders:")
    built = {line.split()[2] for line in components.splitlines() if line.strip().startswith("- name:")}
    assert built == used


def test_without_a_backend_it_is_quiet_and_keeps_nothing(collector_binary: Path, tmp_path: Path) -> None:
    with running(collector_binary, tmp_path) as collector, service(collector) as scanner:
        scanner.scan()
        scanner.flush()
        assert collector.own_value("otelcol_receiver_accepted_spans") == 1
    levels = {json.loads(line)["level"] for line in collector.log().splitlines()}
    assert levels == {"info"}
    assert "deprecated" not in collector.log().lower()
    assert collector.stored() == b""


# --- the build ---


def build(environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUILD], env=environ, capture_output=True, text=True, timeout=30, check=False)


def test_a_second_call_of_the_build_finds_the_first_one(collector_binary: Path) -> None:
    built = collector_binary.stat().st_mtime_ns
    assert build(os.environ).stdout == f"{collector_binary}\n"
    assert collector_binary.stat().st_mtime_ns == built


def test_a_named_collector_is_used(collector_binary: Path) -> None:
    named = build({**os.environ, "TRACEFUSE_OTELCOL": str(collector_binary)})
    assert named.stdout == f"{collector_binary}\n"
    absent = build({**os.environ, "TRACEFUSE_OTELCOL": "/nowhere/otelcol"})
    assert absent.returncode == 1
    assert absent.stderr.startswith("collector: TRACEFUSE_OTELCOL=/nowhere/otelcol is not an executable")


def test_without_go_one_line_says_what_is_missing(tmp_path: Path) -> None:
    for program in ("awk", "bash", "cut", "dirname", "env", "mkdir", "sha256sum", "shasum", "flock"):
        if found := shutil.which(program):
            (tmp_path / program).symlink_to(found)
    answer = build({"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert "no Go to build one" in answer.stderr


# --- the documentation ---


def test_the_guide_lists_every_variable_with_its_default() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (CONFIGURATION, *OVERLAYS.glob("*.yaml"))]
    used = re.findall(r"\$\{env:(OTELCOL_\w+)(?::-([^${}]*))?", "\n".join(texts))
    guide = (ROOT / "docs/collector.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(OTELCOL_\w+)` \|([^|]*)\|", guide, re.MULTILINE))
    assert set(listed) == {name for name, _ in used}
    for name, default in used:
        assert default in listed[name], name
