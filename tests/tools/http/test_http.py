"""The HTTP face: what each path answers, and what stands before all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from support.http_service import Face, serving_in_process, token_file
from support.mcp_service import failing_nmap, hanging_nmap, quick_nmap
from support.polling import until
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import BreakerSettings, ServeSettings
from tracefuse.tools.config._view import settings_view
from tracefuse.tools.http._auth import Role
from tracefuse.tools.http._guard import principal_of


@pytest.fixture
async def face(tmp_path: Path, memory: InMemoryTelemetry) -> AsyncIterator[Face]:
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory) as running:
        yield running


def kind(answer: httpx.Response) -> str:
    """What a problem is; it is whole."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"]
    assert body["title"]
    return str(body["type"]).removeprefix("urn:tracefuse:")


async def test_a_scan_is_run_and_answered(face: Face) -> None:
    answer = await face.scan()
    assert answer.status_code == 200
    body = answer.json()
    assert (body["schema"], body["report"]["hosts"][0]["ports"][0]["number"]) == ("tracefuse.scan/1", 22)
    again = await face.client.get(f"/scans/{body['scan_id']}/result")
    assert again.json() == body
    same = await face.client.get(f"/scans/{body['scan_id']}/result", headers={"if-none-match": again.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


STARTED = [({"wait": False}, {}), ({}, {"prefer": "respond-async"}), ({"wait": False}, {"prefer": "wait=1"})]


@pytest.mark.parametrize(("fields", "headers"), STARTED)
async def test_a_scan_is_started_and_found_again(face: Face, fields: dict[str, bool], headers: dict[str, str]) -> None:
    answer = await face.client.post("/scans", json={"targets": ["10.0.0.7"], **fields}, headers=headers)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/scans/{answer.json()['scan_id']}"
    await face.service.jobs.wait(answer.json()["scan_id"], None)
    found = (await face.client.get(answer.headers["location"])).json()
    assert (found["state"], found["hosts_up"], found["ports_open"]) == ("completed", 1, 1)


async def test_one_may_wait_a_while_for_a_scan_that_was_started(face: Face) -> None:
    answer = await face.client.post(
        "/scans", json={"targets": ["10.0.0.7"]}, headers={"prefer": "respond-async, wait=20"}
    )
    assert (answer.status_code, answer.json()["state"]) == (202, "completed")


async def test_scans_are_listed_page_by_page(face: Face) -> None:
    for _ in range(3):
        await face.scan()
    first = (await face.client.get("/scans", params={"limit": 2, "state": "completed"})).json()
    rest = (await face.client.get("/scans", params={"limit": 2, "before": first["next"]})).json()
    assert (len(first["scans"]), len(rest["scans"]), rest["next"]) == (2, 1, None)
    nothing = await face.client.get("/scans", params={"target": "10.9.9.9", "template": "quick"})
    assert nothing.json() == {"scans": [], "next": None}


async def test_a_scan_is_compared_with_the_last_one_or_with_one_that_is_named(face: Face) -> None:
    first = (await face.scan()).json()["scan_id"]
    alone = await face.client.get(f"/scans/{first}/diff")
    assert (alone.status_code, kind(alone)) == (404, "nothing_to_compare")
    second = (await face.scan()).json()["scan_id"]
    compared = (await face.client.get(f"/scans/{second}/diff")).json()
    assert (compared["old"], compared["new"], compared["changes"]) == (first, second, [])
    assert (await face.client.get(f"/scans/{second}/diff", params={"with": first})).json() == compared
    unknown = await face.client.get(f"/scans/{second}/diff", params={"with": "0" * 16})
    assert kind(unknown) == "no_result"


@pytest.mark.parametrize("path", ["/scans/{}", "/scans/{}/result", "/scans/{}/diff", "/scans/{}/events"])
async def test_a_scan_that_nobody_knows(face: Face, path: str) -> None:
    answer = await face.client.get(path.format("0" * 16))
    assert (answer.status_code, kind(answer)) == (404, "no_such_scan")


async def test_a_scan_is_stopped_and_what_it_found_is_kept(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with serving_in_process(tmp_path, hanging_nmap(tmp_path), memory) as face:
        started = await face.scan(wait=False)
        where = started.headers["location"]
        await until((tmp_path / "pid").exists)
        early = await face.client.get(f"{where}/result")
        assert (early.status_code, kind(early), early.headers["retry-after"]) == (409, "not_finished", "1")
        stopped = await face.client.delete(where)
        assert (stopped.status_code, stopped.json()["state"]) == (200, "cancelled")
        again = await face.client.delete(where)
        assert (again.status_code, kind(again)) == (409, "already_ended")
        kept = await face.client.get(f"{where}/result")
        assert kept.json()["report"]["hosts"][0]["ports"][0]["number"] == 22


async def test_a_failed_scan_says_how_and_where_its_rest_is(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with serving_in_process(tmp_path, failing_nmap(tmp_path), memory) as face:
        answer = await face.scan()
        assert (answer.status_code, kind(answer)) == (502, "tool_error")
        body = answer.json()
        assert (body["error_type"], body["stderr"].strip()) == ("execution_error", "out of luck")
        assert (await face.client.get(f"/scans/{body['scan_id']}")).json()["state"] == "failed"


async def test_an_open_circuit_answers_at_once_and_says_when_to_come_back(
    tmp_path: Path, memory: InMemoryTelemetry
) -> None:
    breaker = BreakerSettings(failure_threshold=1, recovery_timeout=60)
    async with serving_in_process(tmp_path, failing_nmap(tmp_path), memory, breaker=breaker) as face:
        await face.scan()
        refused = await face.scan()
        assert (refused.status_code, kind(refused)) == (503, "circuit_open")
        assert 0 < int(refused.headers["retry-after"]) <= 70
        known = (await face.client.post("/tools/nmap/execute", json={"target": "10.0.0.7"})).json()
        assert known["error_type"] == "circuit_breaker_open"
        assert 0 < known["metadata"]["retry_after"] <= 70
        closed = await face.client.post("/breakers/nmap/close")
        assert closed.json()["state"] == "CLOSED"
        assert kind(await face.scan()) == "tool_error"


async def test_breakers_are_seen_and_operated(face: Face) -> None:
    opened = await face.client.post("/breakers/nmap/open", json={})
    assert opened.json()["state"] == "OPEN"
    listed = (await face.client.get("/breakers")).json()["breakers"]
    assert [(one["name"], one["state"]) for one in listed] == [("nmap", "OPEN")]
    for path, said in (("/breakers/other/open", "no_such_breaker"), ("/breakers/nmap/break", "no_such_action")):
        assert kind(await face.client.post(path)) == said


async def test_the_known_tool_answers_in_the_known_form(face: Face) -> None:
    tools = (await face.client.get("/tools")).json()["tools"]
    assert [(one["name"], one["enabled"]) for one in tools] == [("NmapTool", True)]
    body = {"target": "10.0.0.7", "extra_args": "-p 22,80", "timeout_sec": 30, "correlation_id": "mine"}
    output = (await face.client.post("/tools/NmapTool/execute", json=body)).json()
    assert (output["returncode"], output["correlation_id"], output["error"]) == (0, "mine", None)
    assert "22/tcp" in output["stdout"]
    assert (output["metadata"]["hosts_up"], output["metadata"]["open_ports"]) == (1, 1)
    assert (await face.client.get(f"/scans/{output['metadata']['scan_id']}")).json()["state"] == "completed"


async def test_a_refusal_by_the_policy_is_an_output_of_the_known_tool(face: Face) -> None:
    answer = await face.client.post("/tools/NmapTool/execute", json={"target": "8.8.8.8"})
    assert (answer.status_code, answer.json()["error_type"]) == (200, "validation_error")
    assert answer.json()["metadata"]["rule"] == "target.network"


async def test_a_failure_is_an_output_of_the_known_tool(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with serving_in_process(tmp_path, failing_nmap(tmp_path), memory) as face:
        output = (await face.client.post("/tools/nmap/execute", json={"target": "10.0.0.7"})).json()
        assert (output["returncode"], output["error_type"], output["stderr"]) == (1, "execution_error", "out of luck\n")


async def test_a_disabled_tool_takes_no_requests_until_it_is_enabled(face: Face) -> None:
    assert (await face.client.post("/tools/NmapTool/disable")).json()["enabled"] is False
    refused = await face.client.post("/tools/NmapTool/execute", json={"target": "10.0.0.7"})
    assert (refused.status_code, kind(refused)) == (403, "tool_disabled")
    assert kind(await face.scan()) == "tool_disabled"
    assert (await face.client.get("/tools")).json()["tools"][0]["enabled"] is False
    assert (await face.client.post("/tools/NmapTool/enable")).json()["enabled"] is True
    assert (await face.scan()).status_code == 200
    assert kind(await face.client.post("/tools/Other/enable")) == "no_such_tool"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/scans", b'{"targets": []}', 422, "bad_request"),
        ("/scans", b'{"targets": ["10.0.0.7"], "wait": 1}', 422, "bad_request"),
        ("/scans", b'{"targets": ["10.0.0.7"], "timeout": 1e999}', 422, "bad_request"),
        ("/scans", b'{"targets": ["8.8.8.8"]}', 422, "policy_violation"),
        ("/scans", b'{"targets": ["10.0.0.7"], "template": "nope"}', 422, "policy_violation"),
        ("/scans", b"", 400, "malformed_json"),
        ("/scans", b"\xff\xfe", 400, "malformed_json"),
        ("/scans", b'{"targets": ["\xff"]}', 400, "malformed_json"),
        ("/scans", b"[" * 10_000 + b"]" * 10_000, 400, "malformed_json"),
        ("/scans", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "malformed_json"),
        ("/scans", b'{"targets": ["10.0.0.7"], "extra_args": "' + b"x" * 70_000 + b'"}', 413, "body_too_large"),
        ("/tools/NmapTool/execute", b'{"target": ""}', 422, "bad_request"),
        ("/tools/NmapTool/execute", b'{"target": "10.0.0.7", "timeout_sec": 0}', 422, "bad_request"),
        ("/tools/Other/execute", b'{"target": "10.0.0.7"}', 404, "no_such_tool"),
    ],
)
async def test_bad_input_is_refused(face: Face, path: str, body: bytes, status: int, said: str) -> None:
    answer = await face.client.post(path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, kind(answer)) == (status, said)


async def test_a_body_is_counted_as_it_comes(face: Face) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 8_192

    answer = await face.client.post("/scans", content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, kind(answer)) == (413, "body_too_large")
    assert sent <= 10


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("PUT", "/scans", 405, "method_not_allowed"),
        ("BREW", "/scans", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("OPTIONS", "/scans", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/scans/", 404, "not_found"),
        ("GET", "/scans?limit=0", 422, "bad_request"),
        ("GET", "/scans?limit=1&limit=2", 422, "bad_request"),
        ("GET", "/scans?nonsense=1", 422, "bad_request"),
        ("GET", "/scans?since=2026-01-01T00:00:00", 422, "bad_request"),
        ("GET", "/sd?port=9100", 404, "discovery_off"),
    ],
)
async def test_what_is_not_there_is_said(face: Face, method: str, path: str, status: int, said: str) -> None:
    answer = await face.client.request(method, path)
    assert (answer.status_code, kind(answer)) == (status, said)
    if status == 405:
        assert "GET" in answer.headers["allow"]


async def test_head_is_get_without_a_body(face: Face) -> None:
    assert (await face.client.head("/health")).status_code == 200


async def test_json_is_asked_for_by_its_type(face: Face) -> None:
    for path in ("/scans", "/tools/NmapTool/execute", "/breakers/nmap/open", "/tools/NmapTool/disable"):
        answer = await face.client.post(path, content=b"{}", headers={"content-type": "text/plain"})
        assert (answer.status_code, kind(answer)) == (415, "unsupported_media_type")


async def test_health_is_told_in_the_known_form(face: Face) -> None:
    answer = await face.client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert {"status", "timestamp", "transport", "checks", "summary"} <= set(body)
    assert (body["status"], body["transport"]) == ("healthy", "http")


async def test_health_is_207_when_degraded_and_503_when_unhealthy(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    async with serving_in_process(tmp_path, "/nonexistent/nmap", memory) as face:
        degraded = await face.client.get("/health")
        assert (degraded.status_code, degraded.json()["status"]) == (207, "degraded")
        assert (await face.client.get("/readyz")).status_code == 200
        face.service.stopping.set()
        assert (await face.client.get("/readyz")).status_code == 503
        assert (await face.client.get("/livez")).status_code == 200
        assert (await face.client.get("/startupz")).status_code == 200


async def test_metrics_are_told_in_three_forms(face: Face) -> None:
    await face.scan()
    text = await face.client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    assert 'http_server_request_duration_seconds_count{error_type="",http_request_method="POST"' in text.text
    openmetrics = await face.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.text.endswith("# EOF\n")
    for asked in ({"params": {"format": "json"}}, {"headers": {"accept": "application/json"}}):
        assert isinstance((await face.client.get("/metrics", **asked)).json(), dict)  # type: ignore[arg-type]


async def test_the_settings_are_shown_without_secrets(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    serve = ServeSettings(allowed_hosts=("https://me:hunter2@example.org",))
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory, serve) as face:
        answer = await face.client.get("/config")
        assert answer.json()["serve"]["port"] == 8080
        assert "hunter2" not in answer.text
        version = face.service.app.version
        assert answer.json()["version"] == {"number": version.number, "digest": version.digest}
        assert {**answer.json(), "version": None} == {**settings_view(face.service.settings), "version": None}


async def test_the_index_lists_what_there_is(face: Face) -> None:
    paths = (await face.client.get("/")).json()["paths"]
    assert {"POST /scans", "GET /health", "GET /openapi.json", "POST /tools/{name}/execute"} <= set(paths)


async def test_a_request_id_is_taken_over_if_it_is_one(face: Face) -> None:
    given = await face.client.get("/livez", headers={"x-request-id": "checkout-42"})
    assert given.headers["x-request-id"] == "checkout-42"
    made = await face.client.get("/livez", headers={"x-request-id": "a b<script>"})
    assert len(made.headers["x-request-id"]) == 32
    assert made.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "10.0.0.7"])
async def test_a_rebound_name_is_refused(face: Face, host: str) -> None:
    answer = await face.client.get("/health", headers={"host": host})
    assert (answer.status_code, kind(answer)) == (400, "bad_host")


async def test_a_foreign_page_is_refused(face: Face) -> None:
    answer = await face.client.get("/health", headers={"origin": "https://evil.example"})
    assert (answer.status_code, kind(answer)) == (403, "bad_origin")
    assert "access-control-allow-origin" not in answer.headers
    own = await face.client.get("/health", headers={"origin": "http://127.0.0.1:8080"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers


async def test_a_page_of_a_configured_origin_may_ask(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    path, _ = token_file(tmp_path, ann=Role.READ)
    serve = ServeSettings(cors_origins=("https://ops.example.org",), tokens_file=path)
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory, serve) as face:
        origin = {"origin": "https://ops.example.org"}
        before = await face.client.options("/scans", headers={**origin, "access-control-request-method": "POST"})
        assert (before.status_code, before.headers["access-control-allow-origin"]) == (204, origin["origin"])
        assert "authorization" in before.headers["access-control-allow-headers"]
        refused = await face.client.get("/scans", headers=origin)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin["origin"])
        assert "access-control-allow-credentials" not in refused.headers


async def test_a_token_opens_what_its_role_allows(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    path, held = token_file(tmp_path, reader=Role.READ, scanner=Role.SCAN, operator=Role.OPERATE)
    serve = ServeSettings(tokens_file=path, rate=1_000)
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory, serve) as face:
        client, body = face.client, {"targets": ["10.0.0.7"]}
        for open_to_all in ("/", "/livez", "/readyz", "/startupz", "/openapi.json"):
            assert (await client.get(open_to_all)).status_code == 200
        for closed in ("/health", "/metrics", "/config", "/scans", "/breakers", "/tools", "/events"):
            refused = await client.get(closed)
            assert (refused.status_code, kind(refused)) == (401, "unauthenticated")
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await client.get("/scans", headers=held["reader"])).status_code == 200
        assert (await client.post("/scans", json=body, headers=held["reader"])).status_code == 403
        assert (await client.post("/scans", json=body, headers=held["scanner"])).status_code == 200
        assert (await client.post("/breakers/nmap/open", headers=held["scanner"])).status_code == 403
        assert (await client.post("/breakers/nmap/close", headers=held["operator"])).status_code == 200
        wrong = await client.get("/livez", headers={"authorization": "Bearer tf_wrong"})
        assert (wrong.status_code, kind(wrong)) == (401, "unauthenticated")
        listed = (await client.get("/scans", headers=held["reader"])).json()["scans"]
        assert [scan["caller"]["user"] for scan in listed] == ["scanner"]


async def test_one_stops_ones_own_scans_only_unless_one_operates(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    path, held = token_file(tmp_path, ann=Role.SCAN, bob=Role.SCAN, eve=Role.OPERATE)
    async with serving_in_process(tmp_path, hanging_nmap(tmp_path), memory, ServeSettings(tokens_file=path)) as face:
        for stopper in ("ann", "eve"):
            body = {"targets": ["10.0.0.7"], "wait": False}
            where = (await face.client.post("/scans", json=body, headers=held["ann"])).headers["location"]
            assert (await face.client.delete(where, headers=held["bob"])).status_code == 403
            assert (await face.client.delete(where, headers=held[stopper])).status_code == 200


def test_anything_but_a_bearer_token_is_none(tmp_path: Path) -> None:
    assert principal_of("Basic x", None) is not None


async def test_a_client_that_asks_too_often_is_told_when_to_come_back(
    tmp_path: Path, memory: InMemoryTelemetry
) -> None:
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory, ServeSettings(rate=2)) as face:
        first = await face.scan()
        assert (first.headers["ratelimit-policy"], first.headers["ratelimit"]) == ('"nmap";q=2;w=60', '"nmap";r=1;t=30')
        await face.scan()
        refused = await face.scan()
        assert (refused.status_code, kind(refused)) == (429, "rate_limited")
        assert 25 <= int(refused.headers["retry-after"]) <= 30
        assert {"error", "message", "retry_after"} <= set(refused.json())
        known = await face.client.post("/tools/NmapTool/execute", json={"target": "10.0.0.7"})
        assert known.status_code == 429
        async with face.from_address("10.1.2.3") as other:
            assert (await other.post("/scans", json={"targets": ["10.0.0.7"]})).status_code == 200


async def test_only_so_many_are_served_at_once_and_none_is_kept_out_by_another(
    tmp_path: Path, memory: InMemoryTelemetry
) -> None:
    serve = ServeSettings(max_requests=5, rate=1_000)
    async with serving_in_process(tmp_path, hanging_nmap(tmp_path), memory, serve) as face:
        waiting = [asyncio.create_task(face.scan()) for _ in range(8)]
        await until(lambda: sum(task.done() for task in waiting) == 4)
        refused = [task.result() for task in waiting if task.done()]
        assert {(answer.status_code, kind(answer), answer.headers["retry-after"]) for answer in refused} == {
            (503, "too_busy", "1")
        }
        async with face.from_address("10.1.2.3") as other:
            assert (await other.get("/livez")).status_code == 200
        assert (await face.client.get("/livez")).status_code == 503
        await face.service.jobs.close(0)
        assert {(await task).status_code for task in waiting} == {503}
        assert (await face.client.get("/livez")).status_code == 200


async def test_a_request_is_told_in_a_span_metrics_and_logs(face: Face, memory: InMemoryTelemetry) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await face.client.post("/scans", json={"targets": ["10.0.0.7"]}, headers={"traceparent": parent})
    assert answer.json()["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    (root,) = memory.tree()
    assert (root.name, root.kind, root.status) == ("POST /scans", "SERVER", "UNSET")
    assert root.attributes["http.route"] == "/scans"
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["tracefuse.request.id"] == answer.headers["x-request-id"]
    assert [child.name for child in root.children] == ["nmap scan"]


async def test_probes_make_no_spans_unless_they_are_traced(face: Face, memory: InMemoryTelemetry) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        await face.client.get(path)
    assert memory.tree() == ()
    await face.client.get("/livez", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    assert [root.name for root in memory.tree()] == ["GET /livez"]


async def test_what_scans_found_is_offered_to_prometheus(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    from tracefuse.tools.config._settings import DiscoverySettings

    discovery = DiscoverySettings(enabled=True)
    async with serving_in_process(tmp_path, quick_nmap(tmp_path), memory, discovery=discovery) as face:
        assert (await face.client.get("/sd", params={"port": 22})).json() == []
        scan_id = (await face.scan()).json()["scan_id"]
        (group,) = (await face.client.get("/sd", params={"port": 22})).json()
        assert group["targets"] == ["10.0.0.7:22"]
        assert group["labels"]["__meta_tracefuse_scan_id"] == scan_id
        assert group["labels"]["__meta_tracefuse_hostname"] == "web.lab.internal"
        assert (await face.client.get("/sd", params={"port": 80})).json() == []
        assert kind(await face.client.get("/sd")) == "bad_request"


async def test_schedules_are_seen_and_rest_when_told_to(face: Face) -> None:
    from tracefuse.tools import ScanRequest
    from tracefuse.tools.schedule._schedule import Every, Schedule

    face.service.schedules.add(Schedule("lab", ScanRequest("10.0.0.7"), Every(3_600.0)))
    for action, paused in (("pause", True), ("resume", False)):
        assert (await face.client.post(f"/schedules/lab/{action}")).json()["paused"] is paused
        (listed,) = (await face.client.get("/schedules")).json()["schedules"]
        assert (listed["name"], listed["paused"]) == ("lab", paused)
    assert kind(await face.client.post("/schedules/other/pause")) == "no_such_schedule"


async def test_the_document_describes_every_route(face: Face) -> None:
    document = (await face.client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    listed = {f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations}
    assert listed == set((await face.client.get("/")).json()["paths"])
    assert json.dumps(document).count('"$ref": "#/$defs') == 0
