"""Real scans while they run: events as they come, ends of every kind, no process left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from support.cli import COMMAND, environment, running_under, script
from support.components import nmap_needed
from support.greeting import greeting
from support.polling import eventually
from tracefuse.tools import (
    App,
    Completed,
    NmapSettings,
    Queued,
    QueueSettings,
    RetrySettings,
    ScanRequest,
    Settings,
    ToolExecutionError,
    ToolResourceError,
    build,
)
from tracefuse.tools.nmap import (
    HostFinished,
    OverallProgress,
    PhaseBegan,
    PhaseEnded,
    PortDiscovered,
    Progress,
    ScanFinished,
    ScanStarted,
)

pytestmark = nmap_needed

SLOW = ScanRequest("127.0.0.1", "-n -Pn -p- --max-rate 10")


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of loopback where a service greets."""
    with greeting() as port:
        yield port


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def app(folder: Path, **settings: object) -> App:
    return build(Settings(cache_dir=folder, retry=RetrySettings(attempts=1), **settings))


async def test_everything_is_told_in_order_while_it_happens(tmp_path: Path, listening: int) -> None:
    stream = app(tmp_path).stream(ScanRequest("127.0.0.1", f"-n -Pn -sV -p {listening}"))
    events = [event async for event in stream]
    kinds = [type(event) for event in events if not isinstance(event, OverallProgress)]
    assert kinds[0] is ScanStarted
    assert kinds[-2:] == [ScanFinished, Completed]
    in_order = [kinds.index(kind) for kind in (PhaseBegan, PortDiscovered, PhaseEnded, HostFinished)]
    assert in_order == sorted(in_order)
    assert PortDiscovered("127.0.0.1", "tcp", listening) in events
    percents = [event.percent for event in events if isinstance(event, OverallProgress)]
    assert all(earlier <= later for earlier, later in pairwise(percents))
    assert percents[-1] == 100.0
    assert stream.result is events[-1].result


async def test_the_report_is_the_same_as_without_live_text(
    tmp_path: Path, listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ScanRequest("127.0.0.1", f"-n -Pn -sV -p {listening},1")
    apart = await app(tmp_path).scan(request)
    monkeypatch.setattr("tracefuse.tools._local._has_descriptor_paths", lambda: False)
    together = await app(tmp_path).scan(request)
    assert [host.ports for host in apart.result.hosts] == [host.ports for host in together.result.hosts]
    assert apart.result.scan_info == together.result.scan_info
    assert [phase.name for phase in apart.result.phases] == [phase.name for phase in together.result.phases]


async def test_leaving_early_leaves_no_process(tmp_path: Path, runs: Path) -> None:
    async with app(tmp_path).stream(SLOW) as stream:
        async for event in stream:
            if isinstance(event, PhaseBegan):
                assert running_under(runs)
                break
    assert running_under(runs) == []
    assert stream.result is not None
    assert (stream.result.complete, stream.result.incomplete_reason) == (False, "cancelled")


async def test_progress_callback_is_told(tmp_path: Path, listening: int) -> None:
    told: list[OverallProgress] = []
    await app(tmp_path).scan(ScanRequest("127.0.0.1", f"-n -Pn -p {listening}"), progress_callback=told.append)
    assert told[-1].percent == 100.0


async def test_a_crash_keeps_what_was_found_and_says_what_it_was(tmp_path: Path, runs: Path) -> None:
    stream = app(tmp_path).stream(SLOW)
    with pytest.raises(ToolExecutionError, match="ended by SIGSEGV"):
        async for event in stream:
            if isinstance(event, PhaseBegan):
                (pid,) = running_under(runs)
                os.kill(pid, signal.SIGSEGV)
    assert stream.result is not None
    assert stream.result.incomplete_reason == "SIGSEGV"


async def test_who_waits_is_told_and_comes_to_its_turn(tmp_path: Path, listening: int) -> None:
    scans = app(tmp_path, queue=QueueSettings(per_tool=1))
    request = ScanRequest("127.0.0.1", f"-n -Pn -p {listening}")

    async def kinds() -> list[type]:
        return [type(event) async for event in scans.stream(request)]

    async with asyncio.timeout(30):
        outcomes = await asyncio.gather(*(kinds() for _ in range(4)))
    assert sorted(Queued in outcome for outcome in outcomes) == [False, True, True, True]
    assert all(outcome[-1] is Completed for outcome in outcomes)


ENDLESS = """case "$*" in --version) echo "Nmap version 7.93"; exit;; esac
for word; do case "$last" in -oX) exec >"$word";; esac; last=$word; done
echo '<nmaprun scanner="nmap">'
while :; do echo '<host><status state="up"/></host>                                              '; done"""


async def test_endless_output_is_cut_off(tmp_path: Path, runs: Path) -> None:
    path = script(tmp_path / "nmap", ENDLESS)
    scans = app(tmp_path, nmap=NmapSettings(path=path, output_limit=1_000_000))
    with pytest.raises(ToolResourceError, match="1,000,000 bytes") as caught:
        await asyncio.wait_for(scans.scan(SLOW), 30)
    assert running_under(runs) == []
    assert len(caught.value.result.hosts) > 1000
    assert caught.value.result.incomplete_reason == "output limit"


ONLY_WITH_TERMINAL = """case "$*" in --version) echo "Nmap version %s"; exit;; esac
for word; do case "$last" in -oX) exec >"$word";; esac; last=$word; done
task='task="Connect Scan" time="1795347995"'
echo '<nmaprun scanner="nmap">'"<taskbegin $task/>"
if (: </dev/tty) 2>/dev/null; then echo "<taskprogress $task percent=\\"42.0\\"/>"; fi
echo "<taskend $task/>"'<host><status state="up"/><address addr="127.0.0.1" addrtype="ipv4"/></host>'
echo '<runstats><finished time="1795348001" exit="success"/><hosts up="1" down="0" total="1"/></runstats></nmaprun>'"""


@pytest.mark.parametrize(
    ("version", "with_terminal"), [("7.93", False), ("7.94", True), ("7.98", True), ("7.991", False)]
)
async def test_an_nmap_that_is_silent_without_a_terminal_gets_one(
    tmp_path: Path, version: str, with_terminal: bool
) -> None:
    scans = app(tmp_path, nmap=NmapSettings(path=script(tmp_path / "nmap", ONLY_WITH_TERMINAL % version)))
    events = [event async for event in scans.stream(ScanRequest("127.0.0.1", "-n -Pn -p 80"))]
    assert [event.percent for event in events if isinstance(event, Progress)] == [42.0] * with_terminal
    assert [event.percent for event in events if isinstance(event, OverallProgress)][-1] == 100.0


async def test_a_real_nmap_with_a_terminal_works_as_without(
    tmp_path: Path, listening: int, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracefuse.tools.nmap._tool.needs_terminal", lambda version: True)
    scans = app(tmp_path)
    done = await scans.scan(ScanRequest("127.0.0.1", f"-n -Pn -sV -p {listening}"))
    assert [port.number for _, port in done.result.open_ports()] == [listening]
    async with scans.stream(SLOW) as stream:
        async for event in stream:
            if isinstance(event, Progress):
                break
    assert running_under(runs) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux tells a child of its parent's death")
@pytest.mark.parametrize("version", ["7.93", "7.95"])
def test_no_nmap_is_left_when_tracefuse_is_killed(tmp_path: Path, version: str) -> None:
    env = environment(tmp_path)
    real = 'case "$*" in --version) echo "Nmap version {}";; *) exec nmap "$@";; esac'
    env["TRACEFUSE_NMAP_PATH"] = script(tmp_path / "nmap", real.format(version))
    arguments = ["scan", "127.0.0.1", "--args", SLOW.extra_args]
    with subprocess.Popen([*COMMAND, *arguments], env=env, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: running_under(tmp_path / "runs"), "nmap to run", interval=0.005)
        process.kill()
    eventually(lambda: not running_under(tmp_path / "runs"), "nmap to end with its parent", deadline=5.0)
