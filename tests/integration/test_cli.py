"""The command line, end to end, with the real nmap on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import COMMAND, Ran, environment, running_under, script, tracefuse
from support.components import nmap_needed
from support.greeting import greeting
from support.polling import eventually

pytestmark = nmap_needed


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of loopback where a service greets."""
    with greeting() as port:
        yield port


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "cache")


def one_line(ran: Ran) -> str:
    """The single line on standard error, which is no traceback."""
    assert ran.err.count("\n") == 1, ran.err
    assert "Traceback" not in ran.err
    return ran.err


def test_json_is_the_result_alone(env: dict[str, str], listening: int) -> None:
    ran = tracefuse("scan", "127.0.0.1", "--args", f"-p {listening},1", "--json", env=env)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["schema"] == "tracefuse.scan/1"
    assert len(ran.json["trace_id"]) == 32
    (host,) = ran.json["report"]["hosts"]
    states = {port["number"]: port["state"] for port in host["ports"]}
    assert states == {listening: "open", 1: "closed"}


def test_a_person_gets_a_table_the_trace_id_and_where_to_look(env: dict[str, str], listening: int) -> None:
    ran = tracefuse("scan", "127.0.0.1", "--args", f"-p {listening}", env=env)
    assert (ran.code, ran.err) == (0, "")
    assert f"{listening}/tcp" in ran.out
    assert "1 host up, 1 open port" in ran.out
    assert "trace " in ran.out
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=" in ran.out


@pytest.mark.parametrize(
    ("form", "begins"),
    [("csv", "address,"), ("markdown", "1 host up"), ("text", "Starting Nmap"), ("xml", "<?xml"), ("json", "{")],
)
def test_the_result_comes_in_the_form_of_other_tools(
    env: dict[str, str], listening: int, form: str, begins: str
) -> None:
    ran = tracefuse("scan", "127.0.0.1", "--args", f"-p {listening}", "--format", form, env=env)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(begins), ran.out[:200]
    assert str(listening) in ran.out


def test_the_trace_link_of_the_backend_is_printed(env: dict[str, str], listening: int) -> None:
    env["TRACEFUSE_TELEMETRY_TRACE_URL"] = "http://traces.example/{trace_id}"
    ran = tracefuse("scan", "127.0.0.1", "--args", f"-p {listening}", env=env)
    trace_id = ran.out.partition("trace ")[2].split()[0]
    assert f"http://traces.example/{trace_id}" in ran.out


def test_the_callers_trace_is_continued(env: dict[str, str], listening: int) -> None:
    env["TRACEPARENT"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ran = tracefuse("scan", "127.0.0.1", "--args", f"-p {listening}", "--json", env=env)
    assert ran.json["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


def test_a_dry_run_shows_the_plan_and_needs_no_nmap(env: dict[str, str]) -> None:
    env["TRACEFUSE_NMAP_PATH"] = "/nonexistent/nmap"
    ran = tracefuse("scan", "10.0.0.0/24", "--template", "discovery", "--dry-run", "--json", env=env)
    assert ran.code == 0
    assert ran.json["address_count"] == 256
    assert ran.json["targets"] == ["10.0.0.0/24"]
    assert "-sn" in ran.json["argv"]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["8.8.8.8"], "target.network"),
        (["169.254.169.254"], "target.network"),
        (["10.0.0.0/8"], "target.count"),
        (["127.0.0.1", "--args", "-oN /tmp/x"], "option.refused"),
        (["127.0.0.1", "--args", "--frobnicate"], "option.unknown"),
        (["127.0.0.1", "--args", "8.8.8.8"], "argument.syntax"),
        (["127.0.0.1", "--template", "nosuch"], "template"),
    ],
)
def test_what_the_policy_refuses_starts_nothing(env: dict[str, str], arguments: list[str], rule: str) -> None:
    env["TRACEFUSE_NMAP_PATH"] = "/nonexistent/nmap"
    ran = tracefuse("scan", *arguments, "--json", env=env)
    assert ran.code == 2
    assert "refused" in one_line(ran)
    error = ran.json["error"]
    assert error["type"] == "policy_violation"
    assert error["rule"].startswith(rule)
    assert error["example"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRACEFUSE_BREAKER_FAILURE_THRESHOLD", "0"),
        ("TRACEFUSE_POLICY_NETWORKS", "10.0.0.0/33"),
        ("TRACEFUSE_NMAP", "/usr/bin/nmap"),
        ("TRACEFUSE_CACHE_DIR", "/dev/null/cache"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
    ],
)
def test_a_bad_setting_is_one_line_with_its_name(env: dict[str, str], variable: str, value: str) -> None:
    ran = tracefuse("scan", "127.0.0.1", env=env | {variable: value})
    assert (ran.code, ran.out) == (2, "")
    assert variable in one_line(ran)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "was not found"),
        ("echo 'Nmap version 6.40 ( http://nmap.org )'", "7.80 or newer"),
        ("echo 'GNU tar 1.34'", "is not nmap"),
        ("exit 1", "is not nmap"),
    ],
)
def test_an_nmap_that_cannot_be_used_is_one_line(
    env: dict[str, str], tmp_path: Path, source: str | None, said: str
) -> None:
    env["TRACEFUSE_NMAP_PATH"] = script(tmp_path / "nmap", source) if source else "/nonexistent/nmap"
    ran = tracefuse("scan", "127.0.0.1", env=env)
    assert (ran.code, ran.out) == (1, "")
    line = one_line(ran)
    assert said in line
    assert "TRACEFUSE_NMAP_PATH" in line


FAILING = 'case "$*" in --version) echo "Nmap version 7.93";; *) echo "it broke" >&2; exit 1;; esac'


def test_a_failing_nmap_is_tried_again_and_its_words_are_passed_on(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"TRACEFUSE_NMAP_PATH": script(tmp_path / "nmap", FAILING), "TRACEFUSE_RETRY_WAIT": "0.01"}
    ran = tracefuse("scan", "127.0.0.1", "--json", env=env)
    assert ran.code == 1
    assert "it broke" in one_line(ran)
    assert ran.json["error"]["error_type"] == "execution_error"


def test_an_open_circuit_has_an_exit_code_of_its_own(env: dict[str, str], tmp_path: Path) -> None:
    env |= {
        "TRACEFUSE_NMAP_PATH": script(tmp_path / "nmap", FAILING),
        "TRACEFUSE_RETRY_WAIT": "0.01",
        "TRACEFUSE_BREAKER_FAILURE_THRESHOLD": "1",
    }
    ran = tracefuse("scan", "127.0.0.1", "--json", env=env)
    assert ran.code == 3
    assert "try again" in one_line(ran)
    assert 0 < ran.json["error"]["retry_after"] <= 70


def test_a_timeout_stops_nmap_and_says_so(env: dict[str, str], tmp_path: Path) -> None:
    ran = tracefuse("scan", "127.0.0.1", "--args", "-p- --max-rate 10", "--timeout", "0.5", "--json", env=env)
    assert ran.code == 1
    assert ran.json["error"]["error_type"] == "timeout"
    assert running_under(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_scan_leaves_no_process_and_prints_what_was_found(
    env: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    arguments = ["scan", "127.0.0.1", "--args", "-p- --max-rate 10", "--json"]
    with subprocess.Popen([*COMMAND, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        eventually(lambda: running_under(tmp_path / "cache" / "runs"), "nmap to run")
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err.decode()) == (130, "tracefuse: interrupted\n")
    assert b'"incomplete_reason": "interrupted"' in out
    assert running_under(tmp_path) == []
    assert list((tmp_path / "cache" / "runs").iterdir()) == []


def test_help_teaches() -> None:
    ran = tracefuse("--help", env=dict(os.environ))
    assert ran.code == 0
    for word in ("scan", "demo", "serve", "diff", "Exit codes"):
        assert word in ran.out
    assert "Examples" in tracefuse("scan", "--help", env=dict(os.environ)).out


def test_a_diff_of_two_scans_shows_the_port_that_opened(env: dict[str, str], tmp_path: Path, listening: int) -> None:
    arguments = ("scan", "127.0.0.1", "--json", "--args")
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = server.getsockname()[1]
        ports = f"-p {listening},{other}"
        both = tracefuse(*arguments, ports, env=env)
    one = tracefuse(*arguments, ports, env=env)
    (tmp_path / "old.json").write_text(both.out, encoding="utf-8")
    (tmp_path / "new.json").write_text(one.out, encoding="utf-8")
    same = tracefuse("diff", str(tmp_path / "old.json"), str(tmp_path / "old.json"), env=env)
    assert (same.code, same.err) == (0, "")
    changed = tracefuse("diff", str(tmp_path / "old.json"), str(tmp_path / "new.json"), env=env)
    assert changed.code == 1
    assert f"{other}/tcp" in changed.out


def test_a_diff_leaves_out_what_it_is_told_to(env: dict[str, str], tmp_path: Path) -> None:
    port = '<port protocol="udp" portid="53"><state state="{}"/><script id="banner" output="{}"/></port>'
    scan = (
        '<nmaprun scanner="nmap"><scaninfo type="udp" protocol="udp" numservices="1" services="53"/><host>'
        '<status state="up"/><address addr="10.0.0.1"/><ports>{}</ports></host>'
        '<runstats><finished time="2" exit="success"/><hosts up="1" down="0" total="1"/></runstats></nmaprun>'
    )
    old, new = tmp_path / "old.xml", tmp_path / "new.xml"
    old.write_text(scan.format(port.format("open|filtered", "a")), encoding="utf-8")
    new.write_text(scan.format(port.format("closed", "a")), encoding="utf-8")
    assert tracefuse("diff", str(old), str(new), env=env).code == 1
    assert tracefuse("diff", str(old), str(new), "--ignore-udp-open-filtered", env=env).code == 0
    old.write_text(scan.format(port.format("open", "a")), encoding="utf-8")
    new.write_text(scan.format(port.format("open", "b")), encoding="utf-8")
    assert tracefuse("diff", str(old), str(new), env=env).code == 1
    assert tracefuse("diff", str(old), str(new), "--ignore-script", "banner", env=env).code == 0


@pytest.mark.parametrize("form", ["csv", "markdown", "text", "xml", "json"])
def test_a_saved_result_is_shown_in_every_form(env: dict[str, str], tmp_path: Path, form: str) -> None:
    saved = Path(__file__).parents[1] / "cases" / "nmap-xml" / "04_sV_lo.xml"
    shown = tracefuse("show", str(saved), "--format", form, env=env)
    assert (shown.code, shown.err) == (0, "")
    (tmp_path / "again").write_text(shown.out, encoding="utf-8")
    if form in {"xml", "json"}:
        assert tracefuse("diff", str(saved), str(tmp_path / "again"), env=env).out == "nothing changed\n"


@pytest.mark.parametrize("content", ["", "{", "<html></html>", "nonsense", '{"schema": "other/1"}'])
def test_a_diff_of_what_is_no_result_says_so(env: dict[str, str], tmp_path: Path, content: str) -> None:
    (tmp_path / "old").write_text(content, encoding="utf-8")
    ran = tracefuse("diff", str(tmp_path / "old"), str(tmp_path / "old"), env=env)
    assert (ran.code, ran.out) == (2, "")
    one_line(ran)


def test_a_template_of_ones_own_is_used_and_one_that_breaks_the_policy_is_refused(env: dict[str, str]) -> None:
    env["TRACEFUSE_TEMPLATES"] = '{"web": "-sV -p 80,443"}'
    planned = tracefuse("scan", "127.0.0.1", "-t", "web", "--dry-run", "--json", env=env)
    assert "-p80,443" in planned.json["argv"]
    assert "web" in {template["name"] for template in tracefuse("templates", "--json", env=env).json}
    for bad in ('{"web": "-oN /tmp/x"}', '{"quick": "-p 80"}', "[1]", "{"):
        ran = tracefuse("scan", "127.0.0.1", env=env | {"TRACEFUSE_TEMPLATES": bad})
        assert (ran.code, ran.out) == (2, "")
        one_line(ran)


def test_templates_are_listed(env: dict[str, str]) -> None:
    listed = tracefuse("templates", "--json", env=env).json
    assert {"quick", "standard", "thorough", "discovery"} <= {template["name"] for template in listed}


async def test_the_python_api_gives_what_the_command_gives(listening: int, tmp_path: Path) -> None:
    from tracefuse.tools import ScanRequest, Settings, build

    app = build(Settings(cache_dir=tmp_path))
    done = await asyncio.wait_for(app.scan(ScanRequest(target="127.0.0.1", extra_args=f"-p {listening}")), 30)
    assert [port.number for host in done.result.hosts for port in host.open_ports] == [listening]
