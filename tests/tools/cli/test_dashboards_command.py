"""`tracefuse dashboards`: everything that is shipped, copied as it is, and nothing overwritten by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tracefuse.tools.cli._dashboards_command import shipped
from tracefuse.tools.cli._operations import dashboards

ROOT = Path(__file__).parents[3]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(dashboards, [str(one) for one in arguments])


def test_every_dashboard_every_rule_and_the_configuration_is_listed() -> None:
    files = {
        f"{folder}/{path.name}"
        for folder in ("dashboards", "rules")
        for path in (ROOT / "telemetry" / folder).iterdir()
    }
    listed = json.loads(run("list", "--json").output)["files"]
    assert {one["path"] for one in listed} == files | {"otel-collector.yaml"}
    assert all(one["title"] for one in listed)
    assert "Tracefuse / Service" in run("list").output


def test_files_are_copied_byte_by_byte(tmp_path: Path) -> None:
    written = json.loads(run("export", tmp_path / "new", "--json").output)["written"]
    assert len(written) == len(shipped())
    for folder in ("dashboards", "rules"):
        for path in (ROOT / "telemetry" / folder).iterdir():
            assert (tmp_path / "new" / folder / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "new/otel-collector.yaml").read_bytes() == (ROOT / "otel-collector.yaml").read_bytes()


def test_the_alerts_lead_to_where_the_runbooks_are_read(tmp_path: Path) -> None:
    run("export", tmp_path, "--runbooks", "https://wiki.example.com/docs/")
    text = (tmp_path / "rules/alerts.yaml").read_text(encoding="utf-8")
    assert "runbook_url: https://wiki.example.com/docs/runbooks/TracefuseBreakerOpen.md" in text
    assert "runbook_url: docs/" not in text


def test_a_file_that_was_changed_is_overwritten_only_by_force(tmp_path: Path) -> None:
    assert run("export", tmp_path).exit_code == 0
    assert run("export", tmp_path).exit_code == 0
    changed = tmp_path / "rules/alerts.yaml"
    changed.write_text("mine\n", encoding="utf-8")
    refused = run("export", tmp_path)
    assert refused.exit_code == 1
    assert f"{changed} would be overwritten; give --force" in refused.output
    assert changed.read_text(encoding="utf-8") == "mine\n"
    assert run("export", tmp_path, "--force").exit_code == 0
    assert changed.read_bytes() == (ROOT / "telemetry/rules/alerts.yaml").read_bytes()


@pytest.mark.parametrize("arguments", [("export",), ("export", "a", "b"), ("delete",)])
def test_bad_usage_is_refused(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
