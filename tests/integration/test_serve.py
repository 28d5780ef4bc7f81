"""The service as a process: scans over HTTP, hundreds of scrapes meanwhile, a clean end."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.cli import COMMAND, environment, running_under, tracefuse
from support.components import component, nmap_needed
from support.greeting import greeting
from support.polling import eventually
from support.service_process import Service, serving

pytestmark = nmap_needed

OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(environment(tmp_path / "cache")) as running:
        yield running


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Service]:
    """A service that gives scans one second at its end."""
    with serving(environment(tmp_path / "cache", TRACEFUSE_SERVE_GRACE="1")) as running:
        yield running


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of loopback where a service greets."""
    with greeting() as port:
        yield port


def test_a_scan_over_http_continues_the_callers_trace(service: Service, listening: int) -> None:
    answer = httpx.post(
        f"{service.url}/scans",
        json={"targets": ["127.0.0.1"], "extra_args": f"-p {listening}"},
        headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        timeout=60,
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert body["report"]["hosts"][0]["ports"][0]["number"] == listening


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"targets": ["8.8.8.8"]}, 422, "policy_violation"),
        ({"targets": ["127.0.0.1"], "extra_args": "-oN /tmp/x"}, 422, "policy_violation"),
        ({"targets": []}, 422, "bad_request"),
        ({"targets": "127.0.0.1"}, 422, "bad_request"),
        ({"targets": ["127.0.0.1"], "nonsense": 1}, 422, "bad_request"),
        ({"targets": ["127.0.0.1"], "extra_args": "x" * 70_000}, 413, "body_too_large"),
    ],
)
def test_errors_are_problem_details(service: Service, body: dict[str, object], status: int, kind: str) -> None:
    answer = httpx.post(f"{service.url}/scans", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"urn:tracefuse:{kind}"
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json", "host": "evil.example"}, 400),
    ],
)
def test_a_web_page_cannot_reach_it(service: Service, headers: dict[str, str], status: int) -> None:
    content = json.dumps({"targets": ["127.0.0.1"]})
    assert httpx.post(f"{service.url}/scans", content=content, headers=headers).status_code == status


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    env = environment(tmp_path / "cache", TRACEFUSE_QUEUE_PER_TOOL="1", TRACEFUSE_QUEUE_LENGTH="0")
    with serving(env) as service, ThreadPoolExecutor(1) as pool:
        running = pool.submit(service.scan, extra_args="-p- --max-rate 10", timeout=3)
        eventually(lambda: running_under(service.runs), "nmap to run")
        refused = service.scan(extra_args="-p 80")
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["type"] == "urn:tracefuse:queue_full"
        assert running.result().status_code == 502
        assert 'mcp_tool_errors_total{error_type="resource_exhausted",tool="nmap"} 1.0' in service.metrics()


def test_scans_wait_for_their_turn(tmp_path: Path, listening: int) -> None:
    env = environment(tmp_path / "cache", TRACEFUSE_QUEUE_PER_TOOL="1")
    with serving(env) as service, ThreadPoolExecutor(8) as pool:
        scans = [pool.submit(service.scan, extra_args=f"-p {listening},1-1000") for _ in range(8)]
        assert {scan.result().status_code for scan in scans} == {200}
        exposition = service.metrics()
        assert 'tracefuse_queue_length{reason="tool limit",tool="nmap"} 0.0' in exposition
        assert 'tracefuse_queue_wait_seconds_count{reason="tool limit",tool="nmap"}' in exposition


def test_a_client_that_hangs_up_frees_its_place(tmp_path: Path) -> None:
    env = environment(tmp_path / "cache", TRACEFUSE_QUEUE_PER_TOOL="1")
    with serving(env) as service:
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    f"{service.url}/scans",
                    json={"targets": ["127.0.0.1"], "extra_args": "-p- --max-rate 10"},
                    timeout=httpx.Timeout(20.0, read=1.0),
                )
        eventually(lambda: not running_under(service.runs), "nmap to be stopped")
        assert service.scan(extra_args="-p 80").status_code == 200


def families(text: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found, f"{family.name} is doubled"
        found[family.name] = family
    return found


def test_two_hundred_scrapes_while_scanning_are_all_whole(service: Service, listening: int) -> None:
    assert service.scan(extra_args=f"-p {listening}").status_code == 200
    expected = set(families(service.metrics(OPENMETRICS["accept"])))
    with ThreadPoolExecutor(32) as pool, httpx.Client(timeout=60) as client:
        scans = [pool.submit(service.scan, extra_args="-p 1-2000") for _ in range(4)]
        scrapes = [pool.submit(client.get, f"{service.url}/metrics", headers=OPENMETRICS) for _ in range(200)]
        texts = [scrape.result().text for scrape in scrapes]
        statuses = {scan.result().status_code for scan in scans}
    assert statuses <= {200, 503}
    for text in texts:
        assert text.endswith("# EOF\n")
        assert expected <= set(families(text))


@component("promtool")
def test_promtool_accepts_the_exposition(service: Service, listening: int) -> None:
    service.scan(extra_args=f"-p {listening}")
    promtool = shutil.which("promtool") or "promtool"
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=service.metrics(), capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_figures_of_the_service_are_shown(service: Service, listening: int, tmp_path: Path) -> None:
    service.scan(extra_args=f"-p {listening}")
    env = environment(tmp_path)
    url = f"{service.url}/metrics"
    picture = tmp_path / "latency.svg"
    shown = tracefuse("metrics", "--url", url, "--once", "--json", "--svg", str(picture), env=env)
    assert (shown.code, shown.err) == (0, "")
    assert "nmap" in shown.out
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert "nmap" in tracefuse("metrics", "--url", url, "--once", env=env).out
    nobody = tracefuse("metrics", "--url", "http://127.0.0.1:1/metrics", "--once", env=env)
    assert nobody.code == 1
    assert "is `tracefuse serve` running there?" in nobody.err


def test_the_latency_histogram_leads_to_the_trace(service: Service, listening: int) -> None:
    trace_id = service.scan(extra_args=f"-p {listening}").json()["trace_id"]
    assert f'trace_id="{trace_id}"' in service.metrics(OPENMETRICS["accept"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_request(service: Service, number: signal.Signals) -> None:
    service.process.send_signal(number)
    assert service.process.wait(20) == 0
    assert "Traceback" not in service.said
    assert "tracefuse: " not in service.said


def accepts(url: str) -> bool:
    """Whether anyone listens there."""
    try:
        socket.create_connection((httpx.URL(url).host, httpx.URL(url).port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_scans_that_do_not_finish_in_time_are_stopped(short: Service) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(short.scan, extra_args="-p- --max-rate 10")
        eventually(lambda: running_under(short.runs), "nmap to run")
        short.process.send_signal(signal.SIGTERM)
        assert short.process.wait(20) == 0
        assert running.exception(20) is not None or running.result().status_code >= 500
    assert running_under(short.runs) == []


def test_a_second_signal_does_not_wait_for_scans(service: Service) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(service.scan, extra_args="-p- --max-rate 10")
        eventually(lambda: running_under(service.runs), "nmap to run")
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: not accepts(service.url), "the service to stop accepting")
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(20)
        assert running.exception(20) is not None or running.result().status_code >= 500
    assert running_under(service.runs) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--host", "0.0.0.0"], "off loopback"), (["--host", "example.org"], "an address")],
)
def test_it_listens_on_loopback_only(tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = tracefuse("serve", *arguments, env=environment(tmp_path))
    assert ran.code == 2
    assert said in ran.err


def test_a_port_that_is_taken_is_said(tmp_path: Path, listening: int) -> None:
    ran = tracefuse("serve", "--port", str(listening), env=environment(tmp_path))
    assert ran.code == 2
    assert "in use; for example" in ran.err
    assert "TRACEFUSE_SERVE_PORT=0" in ran.err


def test_an_address_that_no_interface_has_is_said_to_be_so(tmp_path: Path) -> None:
    tokens = str(tmp_path / "tokens.json")
    assert tracefuse("token", "create", "me", "--role", "read", "--file", tokens, env=environment(tmp_path)).code == 0
    env = environment(tmp_path, TRACEFUSE_SERVE_TOKENS_FILE=tokens, TRACEFUSE_SERVE_INSECURE="true")
    ran = tracefuse("serve", "--host", "192.0.2.77", "--port", "0", env=env)
    assert (ran.code, ran.out) == (2, "")
    assert "TRACEFUSE_SERVE_HOST='192.0.2.77' cannot be used: no interface" in ran.err


def test_a_certificate_that_cannot_be_used_is_told_before_anything_starts(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("x", encoding="utf-8")
    for cert, said in ((rubbish, "belong together"), (tmp_path / "missing.pem", "No such file")):
        env = environment(tmp_path, TRACEFUSE_SERVE_TLS_CERT=str(cert), TRACEFUSE_SERVE_TLS_KEY=str(rubbish))
        ran = tracefuse("serve", "--port", "0", env=env)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err and "Traceback" not in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_it_serves_also_where_its_words_cannot_be_written(tmp_path: Path) -> None:
    command = [*COMMAND, "serve", "--port", "0"]
    env = environment(tmp_path / "cache")
    with (
        Path("/dev/full").open("w", encoding="utf-8") as full,
        subprocess.Popen(command, env=env, stdout=full, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        assert any("where it serves could not be told: No space left on device" in line for line in said)
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
