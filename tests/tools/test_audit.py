"""Audit: every scan and every operator action leaves a line and an event that say who, what and from where."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.http_service import serving_in_process, token_file
from support.mcp_service import (
    called,
    connected,
    failing_nmap,
    hanging_nmap,
    quick_nmap,
    running_service,
)
from support.mcp_wire import mcp_call, mcp_headers
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import Caller, CallerKind, ScanRequest, ServeSettings, TelemetrySettings
from tracefuse.tools._audit import Actor, Audit, Operation, Origin, ScanActivity, ScanFacts, api_activity, scan_activity
from tracefuse.tools.config._sections import LoggingSettings
from tracefuse.tools.http._auth import Role

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANN = Actor(kind="http", name="curl/8", user="ann", origin=Origin("10.1.2.3", "r1"))


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """The audit lines of one kind."""
    said = [record.getMessage() for record in caplog.records if record.name == "tracefuse.audit"]
    return [json.loads(line.partition(" ")[2]) for line in said if line.startswith(name)]


def test_a_scan_is_told_in_the_words_of_the_schema() -> None:
    facts = ScanFacts(
        scan_id="ab", template="quick", targets=("10.0.0.7", "10.1.0.0/24", "web.lab.internal"), duration=1.5,
        hosts_up=3, ports_open=7,
    )  # fmt: skip
    event = scan_activity(ScanActivity.COMPLETED, facts, ANN, NOW)
    assert event["class_uid"] == 6007
    assert (event["activity_id"], event["type_uid"], event["status_id"]) == (2, 600702, 1)
    assert event["time"] == 1_767_323_045_000
    assert event["actor"] == {"app_name": "curl/8", "user": {"name": "ann"}, "invoked_by": "http"}
    assert event["src_endpoint"] == {"ip": "10.1.2.3"}
    assert event["metadata"]["correlation_uid"] == "r1"
    assert (event["duration"], event["num_network_items"], event["num_detections"]) == (1_500, 3, 7)
    assert [one["type_id"] for one in event["observables"]] == [2, 12, 1]


def test_a_line_has_room_for_the_first_targets_and_counts_all() -> None:
    facts = ScanFacts(scan_id="ab", template="quick", targets=["\x00" * 10_000, *(f"10.0.0.{n}" for n in range(999))])
    event = scan_activity(ScanActivity.REFUSED, facts, ANN, NOW)
    assert event["num_network_items"] == 1_000
    assert 50 < len(event["observables"]) < 200
    assert len(json.dumps(event)) < 10_000


def test_targets_can_be_left_out() -> None:
    facts = ScanFacts(scan_id="ab", template="quick", targets=("10.0.0.7",))
    event = scan_activity(ScanActivity.STARTED, facts, ANN, NOW, redact_targets=True)
    assert "10.0.0.7" not in json.dumps(event)
    assert event["num_network_items"] == 1


@pytest.mark.parametrize(
    ("state", "error_type", "activity"),
    [
        ("completed", None, 2),
        ("cancelled", None, 3),
        ("failed", "timeout", 4),
        ("failed", "execution_error", 6),
        ("interrupted", None, 6),
        ("refused", None, 99),
    ],
)
def test_each_end_has_its_activity(state: str, error_type: str | None, activity: int) -> None:
    assert ScanActivity.of(state, error_type) == activity


def test_an_action_that_was_refused_has_failed() -> None:
    event = api_activity(Operation.UPDATE, "breaker.open", "nmap", 403, ANN, NOW)
    assert (event["class_uid"], event["type_uid"], event["status_id"]) == (6003, 600303, 2)
    assert event["api"]["response"] == {"code": 403}
    assert event["resources"] == [{"name": "nmap"}]


def test_an_action_is_a_line_and_an_event(memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture) -> None:
    audit = Audit(memory.telemetry.instrumentation.logger, clock=lambda: NOW)
    with caplog.at_level(logging.INFO, "tracefuse.audit"):
        audit.operation(Operation.UPDATE, "tool.disable", "NmapTool", 200, ANN)
    (line,) = lines(caplog, "audit.operation")
    (event,) = memory.events("audit.operation")
    assert event.attributes["actor.user.name"] == line["actor"]["user"]["name"] == "ann"
    assert event.attributes["api.operation"] == line["api"]["operation"] == "tool.disable"


async def test_scans_over_http_say_who_and_from_where(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    path, held = token_file(tmp_path, ann=Role.OPERATE)
    caplog.set_level(logging.INFO, "tracefuse")
    async with (
        serving_in_process(tmp_path, quick_nmap(tmp_path), memory, ServeSettings(tokens_file=path)) as face,
        face.from_address("10.1.2.3", **held["ann"], **{"x-request-id": "r1"}) as client,
    ):
        scan = (await client.post("/scans", json={"targets": ["10.0.0.7"]})).json()
        await client.post("/scans", json={"targets": ["8.8.8.8"]})
        await client.post("/breakers/nmap/open")
    started, completed, refused = lines(caplog, "audit.scan")
    assert [one["activity_id"] for one in (started, completed, refused)] == [1, 2, 99]
    assert started["scan"]["uid"] == completed["scan"]["uid"] == scan["scan_id"]
    for one in (started, completed, refused):
        assert one["actor"]["user"]["name"] == "ann"
        assert one["src_endpoint"]["ip"] == "10.1.2.3"
        assert one["metadata"]["correlation_uid"] == "r1"
    assert refused["status_detail"] == "policy_violation"
    (action,) = lines(caplog, "audit.operation")
    assert (action["api"]["operation"], action["actor"]["user"]["name"]) == ("breaker.open", "ann")
    assert len(memory.events("audit.scan")) == 3


async def test_an_operator_action_that_is_not_allowed_is_audited(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    path, held = token_file(tmp_path, bob=Role.READ)
    caplog.set_level(logging.INFO, "tracefuse")
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory, ServeSettings(tokens_file=path)) as face:
        assert (await face.client.post("/tools/NmapTool/disable", headers=held["bob"])).status_code == 403
        assert (await face.client.post("/tools/NmapTool/disable")).status_code == 401
    codes = [(line["api"]["response"]["code"], line["status_id"]) for line in lines(caplog, "audit.operation")]
    assert codes == [(403, 2), (401, 2)]


async def test_nothing_of_the_targets_is_told_when_they_are_redacted(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tracefuse")
    quiet = TelemetrySettings(redact_targets=True)
    async with serving_in_process(tmp_path, failing_nmap(tmp_path), memory, telemetry=quiet) as face:
        await face.scan()
    assert [line["activity_id"] for line in lines(caplog, "audit.scan")] == [1, 6]
    assert "10.0.0.7" not in "".join(record.getMessage() for record in caplog.records)


async def test_scans_asked_for_over_mcp_are_audited_without_any_http(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service, connected(service) as client:
        scan = await called(client, "nmap_scan", target="10.0.0.7", extra_args="-p 22")
    started, completed = lines(caplog, "audit.scan")
    assert started["scan"]["uid"] == completed["scan"]["uid"] == scan["scan_id"]
    assert (started["actor"]["invoked_by"], started["actor"]["app_name"][:4]) == ("mcp", "mcp/")
    assert started["num_network_items"] == 1


async def test_who_stops_a_scan_over_mcp_is_audited(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(tmp_path, hanging_nmap(tmp_path), memory) as service, connected(service) as client:
        scan = await called(client, "scan_start", target="10.0.0.7", extra_args="-p 22")
        await called(client, "scan_cancel", scan_id=scan["scan_id"])
        await called(client, "scan_cancel", scan_id=scan["scan_id"])
    stopped, again = lines(caplog, "audit.operation")
    assert stopped["api"] == {"operation": "scan.cancel", "response": {"code": 200}}
    assert stopped["resources"] == [{"name": scan["scan_id"]}]
    assert again["api"]["response"] == {"code": 409}


async def test_a_call_over_mcp_is_audited_with_where_it_came_from(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    path, held = token_file(tmp_path, ann=Role.SCAN)
    serve = ServeSettings(tokens_file=path, mcp="http")
    async with (
        serving_in_process(tmp_path, quick_nmap(tmp_path), memory, serve) as face,
        face.from_address("10.1.2.3", **held["ann"], **mcp_headers("scan_start"), **{"x-request-id": "r1"}) as client,
    ):
        answer = await client.post("/mcp", json=mcp_call("scan_start", target="8.8.8.8", extra_args="-p 22"))
        assert "policy_violation" in answer.text
    (refused,) = lines(caplog, "audit.scan")
    assert refused["actor"]["user"]["name"] == "ann"
    assert (refused["src_endpoint"]["ip"], refused["metadata"]["correlation_uid"]) == ("10.1.2.3", "r1")


async def test_scans_of_schedules_are_audited(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service:
        caller = Caller(CallerKind.SCHEDULE, "nightly")
        job = await service.jobs.start(ScanRequest("10.0.0.7", "-p 22"), caller, schedule="nightly")
        await service.jobs.wait(job.scan_id, None)
    for line in lines(caplog, "audit.scan"):
        assert (line["actor"]["app_name"], line["actor"]["invoked_by"]) == ("nightly", "schedule")
        assert (line["schedule_uid"], line["scan"]["type_id"]) == ("nightly", 2)


async def test_no_audit_line_is_lost_in_a_flood_or_to_the_level(
    tmp_path: Path, memory: InMemoryTelemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving_in_process(
        tmp_path, quick_nmap(tmp_path), memory, logging=LoggingSettings(level="error", format="json")
    ) as face:
        for _ in range(30):
            await face.scan(targets=["8.8.8.8"])
    assert capsys.readouterr().err.count('"logger": "tracefuse.audit"') == 30
