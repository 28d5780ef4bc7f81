"""nmap as a tool: its command line, what it tells while it runs, and the verdict on its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracefuse.resilience import Pipeline, RetryPolicy
from tracefuse.telemetry import Instrumentation, ScanInstruments
from tracefuse.tools import Policy, Runner, ScanRequest, ToolExecutionError, ToolResourceError
from tracefuse.tools._process import REPORT, Chunk, Exit, Stream
from tracefuse.tools._tool import Installation
from tracefuse.tools.nmap import (
    HostFinished,
    LiveEvent,
    Nmap,
    OverallProgress,
    PortDiscovered,
    Report,
)
from tracefuse.tools.nmap._observer import NmapObserver
from tracefuse.tools.testing import FakeProcess, FakeSpawn

HEAD = b'<?xml version="1.0"?><!DOCTYPE nmaprun><nmaprun scanner="nmap" start="1795347994" version="7.93">'
HOST = b'<host><status state="up" reason="user-set" reason_ttl="0"/><address addr="10.0.0.%d" addrtype="ipv4"/></host>'
TAIL = (
    b'<runstats><finished time="1795348001" elapsed="6.51" exit="success"/>'
    b'<hosts up="2" down="0" total="2"/></runstats></nmaprun>'
)


def begun(task: str) -> bytes:
    return f'<taskbegin task="{task}" time="1795347995"/>'.encode()


def progressed(task: str, percent: float) -> bytes:
    return f'<taskprogress task="{task}" time="1795347996" percent="{percent}"/>'.encode()


def ended(task: str) -> bytes:
    return f'<taskend task="{task}" time="1795347997"/>'.encode()


def tool(host_timeout: float | None = None) -> Nmap:
    return Nmap(
        Policy(),
        resolver=lambda name: (),
        scripts=lambda: None,
        privileged=False,
        timeout=5.0,
        host_timeout=host_timeout,
        output_limit=10_000_000,
    )


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., Runner]:
    instrumentation = Instrumentation.from_providers()

    async def locate() -> Installation:
        return Installation("/usr/bin/nmap", (7, 93))

    def make(*processes: FakeProcess, attempts: int = 1) -> Runner:
        return Runner(
            tool(),
            Pipeline("nmap", retry=RetryPolicy(attempts=attempts, wait=0.0, jitter=0.0)),
            locate=locate,
            observe=lambda: NmapObserver(instrumentation, ScanInstruments(instrumentation)),
            workdir=tmp_path / "runs",
            spawn=FakeSpawn(processes),
        )

    return make


REQUEST = ScanRequest("10.0.0.1-2", "-n -Pn -sV -p 1-1000")


@pytest.mark.parametrize(
    ("version", "terminal"), [((7, 80), False), ((7, 93), False), ((7, 94), True), ((7, 99), True), ((7, 991), False)]
)
def test_the_command_has_our_options_a_report_of_its_own_and_a_terminal_where_needed(
    version: tuple[int, int], terminal: bool
) -> None:
    nmap = tool()
    command = nmap.command(nmap.plan(REQUEST), Installation("/usr/bin/nmap", version), "/empty")
    assert command.argv[:6] == ("/usr/bin/nmap", "-v", "--stats-every", "1s", "-oX", REPORT)
    assert "--noninteractive" not in command.argv
    assert (command.cwd, command.timeout, command.output_limit) == ("/empty", 5.0, 10_000_000)
    assert command.terminal is terminal


@pytest.mark.parametrize(
    ("configured", "asked", "limits"),
    [
        (None, "", []),
        (90.0, "", ["--host-timeout=90000ms"]),
        (90.0, " --host-timeout 30s", ["--host-timeout=30s"]),
    ],
)
def test_a_host_has_the_time_limit_of_the_request_else_that_of_the_settings(
    configured: float | None, asked: str, limits: list[str]
) -> None:
    nmap = tool(configured)
    plan = nmap.plan(ScanRequest("10.0.0.1", f"-n -Pn -p 80{asked}"))
    command = nmap.command(plan, Installation("/usr/bin/nmap", (7, 93)), "/empty")
    assert [argument for argument in command.argv if "host-timeout" in argument] == limits


async def test_ports_are_told_before_their_host_is_done(runner: Callable[..., Runner]) -> None:
    events: list[LiveEvent] = []
    text = Chunk(Stream.TEXT, b"Discovered open port 22/tcp on 10.0.0.1\nInitiating Service scan\n")
    process = FakeProcess([HEAD, begun("Connect Scan"), text, ended("Connect Scan"), HOST % 1, HOST % 2, TAIL])
    await runner(process).run(REQUEST, on_event=events.append)
    kinds = [type(event) for event in events if not isinstance(event, OverallProgress)]
    assert PortDiscovered("10.0.0.1", "tcp", 22) in events
    assert kinds.index(PortDiscovered) < kinds.index(HostFinished)


async def test_progress_goes_from_0_to_100_and_never_back_also_over_two_attempts(runner: Callable[..., Runner]) -> None:
    percents: list[float] = []

    def note(event: LiveEvent) -> None:
        if isinstance(event, OverallProgress):
            percents.append(event.percent)
        raise RuntimeError("a display that broke")

    half = [HEAD, begun("Connect Scan"), progressed("Connect Scan", 10.5), progressed("Connect Scan", 80.0)]
    whole = [*half, ended("Connect Scan"), begun("Service scan"), progressed("Service scan", 50.0)]
    whole += [ended("Service scan"), HOST % 1, HOST % 2, TAIL]
    await runner(FakeProcess(half, exit_code=1), FakeProcess(whole), attempts=2).run(REQUEST, on_event=note)
    assert (percents[0], percents[-1]) == (0.0, 100.0)
    assert percents == sorted(percents)
    assert len(percents) > 5


@pytest.mark.parametrize(
    ("exit_code", "reason"), [(-9, "SIGKILL"), (-11, "SIGSEGV"), (1, "truncated"), (0, "truncated")]
)
async def test_however_it_ends_finished_hosts_are_kept_and_the_report_says_why(
    runner: Callable[..., Runner], exit_code: int, reason: str
) -> None:
    cut = FakeProcess([HEAD, HOST % 1, (HOST % 2)[:50]], exit_code=exit_code)
    with pytest.raises(ToolExecutionError) as caught:
        await runner(cut).run(REQUEST)
    report = caught.value.result
    assert isinstance(report, Report)
    assert [host.address for host in report.hosts] == ["10.0.0.1"]
    assert (report.complete, report.incomplete_reason) == (False, reason)


async def test_an_output_beyond_the_limits_of_the_parser_is_no_failure_to_try_again(
    runner: Callable[..., Runner],
) -> None:
    process = FakeProcess([HEAD, HOST % 1, b'<host comment="', *([b"x" * 1_000_000] * 3)])
    with pytest.raises(ToolResourceError) as caught:
        await runner(process).run(REQUEST)
    assert isinstance(caught.value.result, Report)
    assert len(caught.value.result.hosts) == 1


def test_of_two_reports_the_one_with_more_hosts_is_fuller() -> None:
    nmap = tool()
    collector = nmap.collector()
    collector.feed(HEAD + HOST % 1)
    one, none = collector.close("timeout"), Report(complete=False)
    assert nmap.fuller(none, one) is nmap.fuller(one, none) is one
    assert nmap.judge(Exit(0), one) is not None


@pytest.mark.parametrize(
    ("targets", "blocks"),
    [
        (("10.0.0.1", "10.0.0.0/24", "10.0.0-3.1,7", "fd00::1", "fe80::a%eth0"), False),
        (("10.0.0.1", "host.lab.internal"), True),
        (("0x7f000001",), True),
        ((None,), True),
        ((), False),
    ],
)
def test_only_names_may_block_the_planning(targets: tuple[str, ...], blocks: bool) -> None:
    assert tool().may_block(ScanRequest(targets=targets)) is blocks
    assert tool().may_block(ScanRequest("10.0.0.1", exclude=targets)) is blocks
