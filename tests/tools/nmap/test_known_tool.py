"""The scan tool under its known name, over a runner that does as it is told."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tracefuse.resilience import BulkheadFullError, CircuitBreakerOpenError, PipelineTimeoutError
from tracefuse.tools import (
    App,
    NmapTool,
    PolicyViolation,
    QueueFullError,
    ScanTemplate,
    Settings,
    ToolError,
    ToolExecutionError,
    ToolInput,
    ToolNotFoundError,
    ToolOutput,
    ToolTimeoutError,
    build,
)
from tracefuse.tools._known_output import MAX_STDOUT_BYTES
from tracefuse.tools.nmap import (
    OPTION_TABLE,
    HostFinished,
    PhaseBegan,
    PhaseEnded,
    Report,
    ScanFinished,
    ScanRequest,
    ScanStarted,
    Script,
    Verdict,
    parse_nmap_output,
    plan,
    report_to_xml,
)
from tracefuse.tools.nmap import _known_tool as module
from tracefuse.tools.nmap._known_arguments import with_defaults
from tracefuse.tools.nmap._scripts import select_scripts
from tracefuse.tools.nmap.testing import CUT_SHORT, ONE_HOST, SCRIPTS, fake_app

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "cases/scan-requests/cases.jsonl").read_text(encoding="utf-8").splitlines()
]
DONE = parse_nmap_output(ONE_HOST)


@pytest.fixture
def app() -> App:
    return fake_app()[0]


def ran(outcome: bytes | Exception = ONE_HOST, arguments: str = "") -> ToolOutput:
    tool = NmapTool(fake_app(outcome)[0])
    return asyncio.run(tool.run(ToolInput(target="10.0.0.7", extra_args=arguments, correlation_id="c-1")))


def test_a_scan_comes_back_as_text_and_as_a_report() -> None:
    output = ran(arguments="-p 22,80")
    assert output.is_success() and (output.error, output.error_type, output.timed_out) == (None, None, False)
    assert output.report == DONE
    assert "Nmap scan report for web.lab.internal (10.0.0.7)" in output.stdout
    assert re.findall(r"(\d+)/(tcp|udp)\s+(\w+)\s+(.+)", output.stdout) == [
        ("22", "tcp", "open", "ssh     OpenSSH 9.2p1 (protocol 2.0)"),
        ("80", "tcp", "closed", "http"),
    ]
    assert (output.correlation_id, output.returncode, output.stderr) == ("c-1", 0, "")
    assert output.execution_time is not None and output.execution_time >= 0
    metadata = output.ensure_metadata()
    assert (metadata["hosts_up"], metadata["open_ports"], metadata["outcome"]) == (1, 1, "success")
    assert metadata["arguments"][-2:] == ["--", "10.0.0.7"]
    json.dumps(output.model_dump())


@pytest.mark.parametrize(
    ("error", "kind", "code", "advice"),
    [
        (ToolTimeoutError("slow", result=DONE), "timeout", 124, "see the tool's own message"),
        (PipelineTimeoutError("nmap", "total", 1.0), "timeout", 124, "allow more time"),
        (ToolNotFoundError("no nmap", hint="install it"), "not_found", 127, "install it"),
        (ToolExecutionError("rc 1", detail="requires root privileges"), "execution_error", 1, "run as root"),
        (ToolExecutionError("rc 0", detail='Failed to resolve "x".'), "execution_error", 1, "check the target's name"),
        (ToolExecutionError("rc 1", detail="Network is unreachable"), "execution_error", 1, "check the route"),
        (ToolExecutionError("rc 255", detail="unrecognized option '--x'"), "execution_error", 1, "did not accept"),
        (ToolError("odd"), "unknown", 1, "see the tool's own message"),
        (CircuitBreakerOpenError("open", 6.0, "nmap"), "circuit_breaker_open", 1, "try again in 6 s"),
        (CircuitBreakerOpenError("open", None, "nmap"), "circuit_breaker_open", 1, "try again"),
        (BulkheadFullError("nmap", 2), "resource_exhausted", 1, "all places are taken"),
        (ZeroDivisionError("a defect"), "unknown", 1, "the log has the details"),
    ],
)
def test_a_failure_is_an_output_with_the_known_code_and_advice(
    error: Exception, kind: str, code: int, advice: str
) -> None:
    output = ran(error)
    assert not output.is_success()
    assert (output.error_type, output.returncode, output.timed_out) == (kind, code, kind == "timeout")
    assert output.error == str(error)
    metadata = output.ensure_metadata()
    assert advice in metadata["recovery_suggestion"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", metadata["timestamp"])


def test_what_was_found_before_a_failure_is_kept() -> None:
    cut = parse_nmap_output(CUT_SHORT)
    output = ran(ToolTimeoutError("nmap did not end within 300 s", result=cut))
    assert output.report == cut and "22/tcp open" in output.stdout
    assert output.stderr == "Process timed out after 300s"
    assert ran(ToolTimeoutError("slow", result=Report(complete=False))).stdout == ""


def test_the_open_circuit_and_the_full_queue_say_when_to_come_back() -> None:
    metadata = ran(CircuitBreakerOpenError("open", 6.0, "nmap")).ensure_metadata()
    assert (metadata["retry_after"], metadata["breaker_name"]) == (6.0, "nmap")
    assert ran(QueueFullError(100, 5.0)).ensure_metadata()["retry_after"] == 5.0


def test_a_refusal_carries_the_rule_the_token_and_an_example() -> None:
    output = ran(arguments="-sV --script-args newtargets")
    assert (output.error_type, output.returncode, output.stdout) == ("validation_error", 1, "")
    metadata = output.ensure_metadata()
    assert (metadata["rule"], metadata["token"], metadata["position"]) == ("option.refused", "--script-args", 1)
    assert metadata["example"] and metadata["example"] in metadata["recovery_suggestion"]
    again = ran(arguments=metadata["example"])
    assert again.is_success()


def test_too_large_a_network_is_refused_with_the_limit_and_an_example(app: App) -> None:
    output = asyncio.run(NmapTool(app).run(ToolInput(target="10.0.0.0/8")))
    assert output.error_type == "validation_error" and output.error is not None
    assert "16,777,216" in output.error and "1,024" in output.error and "Example: 10.0.0.0/22" in output.error


def test_cancellation_alone_is_raised() -> None:
    tool = NmapTool(fake_app(asyncio.CancelledError())[0])
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(tool.run(ToolInput(target="10.0.0.7")))


def test_a_long_text_is_cut_at_a_line_and_the_report_is_whole() -> None:
    large = replace(DONE.hosts[0], scripts=(Script("big", "x\n" * 100_000),))
    output = ran(report_to_xml(replace(DONE, hosts=(large,) * 8)).encode())
    assert output.truncated_stdout and len(output.stdout.encode()) <= MAX_STDOUT_BYTES
    assert output.stdout.endswith("\n") and output.report is not None
    assert output.report.hosts == (large,) * 8


def test_time_limits_and_ids_reach_the_request() -> None:
    app, runner = fake_app()
    tool = NmapTool(app)
    asyncio.run(tool.run(ToolInput(target="10.0.0.7", timeout_sec=5), timeout_sec=7))
    asyncio.run(tool.run(ToolInput(target="10.0.0.7", timeout_sec=5)))
    asyncio.run(tool.run_with_template("10.0.0.7", ScanTemplate.QUICK, 9, "mine"))
    assert [request.timeout for request in runner.requests] == [7, 5, 9]
    assert runner.requests[2].correlation_id == "mine"


def test_the_default_id_is_the_time_in_milliseconds(app: App) -> None:
    told = NmapTool(app, wall_clock=lambda: 1700000000.1234)
    assert asyncio.run(told.run(ToolInput(target="10.0.0.7"))).correlation_id == "1700000000123"


def test_events_are_handed_on(app: App) -> None:
    seen: list[object] = []
    asyncio.run(NmapTool(app).run(ToolInput(target="10.0.0.7"), on_event=seen.append))
    assert [type(event) for event in seen] == [ScanStarted, PhaseBegan, PhaseEnded, HostFinished, ScanFinished]


@pytest.mark.parametrize("template", [*ScanTemplate, "quick"], ids=repr)
def test_every_template_runs_with_nothing_added(template: ScanTemplate | str) -> None:
    app, runner = fake_app()
    output = asyncio.run(NmapTool(app).run_with_template("10.0.0.7", template))
    assert output.is_success(), output.error
    assert (runner.requests[0].template, runner.requests[0].extra_args) == (str(template), "")


@pytest.mark.parametrize("target", ["8.8.8.8", "-oN", "", "10.0.0.7 10.0.0.8"])
def test_a_template_does_not_get_around_the_policy(app: App, target: str) -> None:
    output = asyncio.run(NmapTool(app).run_with_template(target, "quick"))
    assert output.error_type == "validation_error" and output.ensure_metadata()["field"] == "target"


def test_an_unknown_template_is_refused_with_the_known_ones(app: App) -> None:
    output = asyncio.run(NmapTool(app).run_with_template("10.0.0.7", "fast"))
    assert output.error is not None and "quick, standard" in output.error


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("", "-T4 --max-parallelism 10 -Pn --top-ports 1000"),
        ("-p 80", "-T4 --max-parallelism 10 -Pn -p 80"),
        ("-F -T2", "--max-parallelism 10 -Pn -F -T2"),
        ("-PS22 --max-parallelism=5", "-T4 --top-ports 1000 -PS22 --max-parallelism=5"),
        ("-sn", "-T4 --max-parallelism 10 -sn"),
        ("-sL", "-T4 --max-parallelism 10 -sL"),
        ("--min-parallelism 20 -n", "-T4 -Pn --top-ports 1000 --min-parallelism 20 -n"),
        ("-sV --script default", "-T4 --max-parallelism 10 -Pn --top-ports 1000 -sV --script default"),
    ],
)
def test_what_the_arguments_leave_open_is_filled_in(given: str, used: str) -> None:
    app, runner = fake_app()
    tool = NmapTool(app)
    assert tool._optimize_nmap_args(given) == used
    output = asyncio.run(tool.run(ToolInput(target="10.0.0.7", extra_args=given)))
    assert output.is_success(), output.error
    assert runner.requests[0].extra_args == used


def test_defaults_do_not_make_good_arguments_too_long() -> None:
    app, runner = fake_app()
    arguments = "-p " + ",".join(["65535"] * 90) + " " * 1480
    output = asyncio.run(NmapTool(app).run(ToolInput(target="10.0.0.7", extra_args=arguments)))
    assert output.is_success() and len(runner.requests[0].extra_args) <= 2048


def test_protected_helpers_write_canonically_or_raise_value_error(app: App) -> None:
    tool = NmapTool(app)
    assert tool._parse_and_validate_args("-sVC -p80,443 -T 4") == "-sV -sC -p 80,443 -T4"
    for helper in (tool._parse_and_validate_args, tool._optimize_nmap_args):
        with pytest.raises(ValueError, match="Example: ") as caught:
            helper("-oN file")
        assert isinstance(caught.value.__cause__, PolicyViolation)


@pytest.mark.parametrize("case", [case for case in CASES if case["expect"] == "accept"], ids=lambda case: case["id"])
def test_the_defaults_break_no_request_that_is_accepted(app: App, case: dict[str, Any]) -> None:
    policy = app.tool.policy
    names: dict[str, list[str]] = case.get("resolve", {})
    longer = with_defaults(case["args"], policy)
    database = None if "script" not in case["args"] else SCRIPTS
    try:
        plan(ScanRequest(case["target"], case["args"]), policy, lambda name: names.get(name, ()), database)
    except PolicyViolation:
        pytest.skip("needs the whole script database")
    assert (
        plan(ScanRequest(case["target"], longer), policy, lambda name: names.get(name, ()), database).address_count >= 1
    )


@pytest.mark.parametrize("case", [case for case in CASES if case["expect"] == "reject"], ids=lambda case: case["id"])
def test_every_recorded_attack_is_refused_by_the_known_face(case: dict[str, Any]) -> None:
    tool = NmapTool(fake_app(names=case.get("resolve"))[0])
    try:
        given = ToolInput(target=case["target"], extra_args=case["args"])
    except ValidationError:
        return
    output = asyncio.run(tool.run(given))
    assert output.error_type == "validation_error", case["why"]
    metadata = output.ensure_metadata()
    assert metadata["example"] and metadata["rule"]


def test_the_base_flags_are_a_tuple_of_what_every_policy_allows() -> None:
    flags = NmapTool.BASE_ALLOWED_FLAGS
    assert isinstance(flags, tuple) and len(set(flags)) == len(flags)
    allowed = {name for option in OPTION_TABLE if option.verdict is Verdict.ALLOWED for name in option.names}
    assert allowed <= set(flags)
    for option in OPTION_TABLE:
        if option.verdict is not Verdict.ALLOWED:
            assert not set(option.names) & set(flags)


def test_allowed_flags_are_a_fresh_list_that_nobody_can_set(app: App) -> None:
    tool = NmapTool(app)
    flags = tool.allowed_flags
    flags.append("--evil")
    assert "--evil" not in tool.allowed_flags and tool.allowed_flags == list(NmapTool.BASE_ALLOWED_FLAGS)
    with pytest.raises(AttributeError):
        tool.allowed_flags = []  # type: ignore[misc]
    assert tool._get_allowed_flags() is not tool._get_allowed_flags()


def test_a_thousand_changes_of_the_policy_leave_the_base_and_earlier_lists_alone(app: App) -> None:
    tool, base = NmapTool(app), NmapTool.BASE_ALLOWED_FLAGS
    before = tool.allowed_flags
    for turn in range(1000):
        tool.allow_intrusive = turn % 2 == 0
        assert ("-A" in tool.allowed_flags) is tool.allow_intrusive
    assert NmapTool.BASE_ALLOWED_FLAGS is base and before == list(base)


def test_intrusive_options_follow_the_policy_at_once(app: App) -> None:
    tool = NmapTool(app)
    ask = ToolInput(target="10.0.0.7", extra_args="-A")
    assert asyncio.run(tool.run(ask)).ensure_metadata()["rule"] == "option.intrusive"
    tool.allow_intrusive = True
    assert asyncio.run(tool.run(ask)).is_success()
    tool.policy = replace(tool.policy, allow_intrusive=False)
    assert asyncio.run(tool.run(ask)).error_type == "validation_error"


def test_a_scan_that_runs_keeps_the_policy_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    app, runner = fake_app()
    tool, policies = NmapTool(app), iter((False, True))
    answer = runner.run

    async def slow(request: ScanRequest, **listening: Any) -> Any:
        done = await answer(request, **listening)
        tool.allow_intrusive = next(policies)
        return done

    monkeypatch.setattr(runner, "run", slow)
    ask = ToolInput(target="10.0.0.7", extra_args="-A")
    tool.allow_intrusive = True
    assert asyncio.run(tool.run(ask)).is_success(), "refused while it ran, which is too late for it"
    assert asyncio.run(tool.run(ask)).error_type == "validation_error"


def test_a_change_of_the_policy_forgets_verdicts_on_scripts(app: App) -> None:
    tool = NmapTool(app)
    tool.clear_caches()
    first = select_scripts("http-title", tool.policy, SCRIPTS)
    assert select_scripts("http-title", tool.policy, SCRIPTS) is first
    tool.allow_intrusive = True
    assert select_scripts("http-title", tool.policy, SCRIPTS) is not first


def test_nothing_in_the_source_changes_the_list_of_flags_in_place() -> None:
    folder = Path(module.__file__).parents[1]
    change = re.compile(
        r"(?:allowed_flags|ALLOWED_FLAGS)\s*(?:\.(?:append|extend|insert|remove|pop|clear)|\+=|\[.*\]\s*=[^=])"
    )
    assert not [path for path in folder.rglob("*.py") if change.search(path.read_text(encoding="utf-8"))]


def test_patterns_are_compiled_once_on_the_class() -> None:
    patterns = [value for value in vars(NmapTool).values() if isinstance(value, re.Pattern)]
    assert len(patterns) >= 4
    calls = [
        node
        for function in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "re"
    ]
    assert not [call for call in calls if call.attr != "Pattern"]


def test_the_information_has_the_known_sections_and_is_json(app: App) -> None:
    info = NmapTool(app).get_tool_info()
    assert json.loads(json.dumps(info)) == info
    assert (info["name"], info["command"]) == ("NmapTool", "nmap")
    assert info["performance"]["default_timeout"] == app.settings.nmap.timeout
    assert info["performance"]["max_network_size"] == NmapTool.MAX_NETWORK_SIZE == 1024
    assert info["policy"]["intrusive_allowed"] is False
    assert info["circuit_breaker"]["state"] == "CLOSED"
    assert info["scan_templates"] == [str(template) for template in ScanTemplate]


def test_the_configuration_is_checked_with_issues_and_warnings(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"cache_dir": tmp_path, "nmap": {"path": "no-such-nmap", "timeout": 5}, "policy": {"allow_intrusive": True}}
    )
    tool = NmapTool(build(settings))
    found = tool.validate_configuration()
    assert found["valid"] is False and "no-such-nmap" in found["issues"][0]
    assert [word in " ".join(found["warnings"]) for word in ("timeout", "intrusive")] == [True, True]
    assert found["configuration"]["command_available"] is False
    asyncio.run(_trip(tool))
    assert "circuit breaker is open" in " ".join(tool.validate_configuration()["warnings"])


async def _trip(tool: NmapTool) -> None:
    await tool.app.breaker.force_open()


def test_a_text_is_read_to_the_flat_result(app: App) -> None:
    text = (
        "Nmap scan report for web (10.0.0.7)\nHost is up.\nPORT STATE SERVICE VERSION\n"
        "22/tcp open ssh OpenSSH\nNmap done: 2 IP addresses (1 host up) scanned in 1.00 seconds\n"
    )
    result = NmapTool(app).parse_scan_result(text)
    assert (result.raw_output, result.hosts_up, result.hosts_down) == (text, 1, 1)
    assert [(port["host"], port["port"], port["state"]) for port in result.ports_found] == [("10.0.0.7", 22, "open")]
    assert result.services == result.ports_found


def test_text_that_is_no_result_is_an_empty_one_and_a_cut_one_is_partial(app: App) -> None:
    tool = NmapTool(app)
    assert tool.parse_scan_result("what").ports_found == []
    cut = '<nmaprun><host><status state="up"/><address addr="10.0.0.7"/></host><host><!ENTITY'
    assert tool.parse_scan_result(cut).hosts_up == 1
    assert tool.parse_nmap_output(b"<nmaprun><host><status state='up'/></host>").complete is False
