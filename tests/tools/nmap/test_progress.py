"""How far a whole scan is: never back, 100 only at the end, sensible in between."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools._policy import Policy
from tracefuse.tools.nmap import (
    Host,
    HostFinished,
    HostHinted,
    OverallProgress,
    PhaseBegan,
    PhaseEnded,
    Progress,
    ScanEvent,
    ScanFinished,
    ScanRequest,
    ScanStarted,
    plan,
)
from tracefuse.tools.nmap._expectation import Expectation, expect
from tracefuse.tools.nmap._progress import ScanEstimate
from tracefuse.tools.nmap._report import RunStats

POLICY = Policy(allow_intrusive=True)


def expected(target: str = "10.0.0.0/24", arguments: str = "", template: str | None = None) -> Expectation:
    return expect(plan(ScanRequest(target, arguments, template), POLICY, lambda name: ()))


def stages(arguments: str) -> tuple[list[str], list[str]]:
    course = expected(arguments=arguments)
    return [stage.name for stage in course.once], [stage.name for stage in course.each]


@pytest.mark.parametrize(
    ("arguments", "once", "each"),
    [
        ("-sn", ["discovery", "names"], []),
        ("-sL -n", [], []),
        ("-n -Pn -p 80", [], ["ports"]),
        ("-n -sV", ["discovery"], ["ports", "services", "scripts"]),
        ("-n -Pn -sU -p 53", [], ["UDP ports"]),
        ("-n -Pn -sS -sU -p T:80,U:53", [], ["ports", "UDP ports"]),
        ("-A", ["discovery", "names"], ["ports", "services", "OS", "traceroute", "scripts"]),
        ("-n -Pn -sC -O --traceroute", [], ["ports", "OS", "traceroute", "scripts"]),
    ],
)
def test_the_plan_says_which_phases_will_come(arguments: str, once: list[str], each: list[str]) -> None:
    assert stages(arguments) == (once, each)


@pytest.mark.parametrize(
    ("arguments", "first", "later"),
    [
        ("-p 1-1000", 64, 64),
        ("-p-", 4, 64),
        ("-T4 -p-", 8, 64),
        ("-T5 -p-", 64, 64),
        ("-F", 64, 64),
        ("-p 22", 1024, 1024),
        ("-p- --max-hostgroup 2", 2, 2),
        ("-F --min-hostgroup 100", 100, 100),
        ("-sU -F", 128, 128),
    ],
)
def test_the_groups_are_as_large_as_nmap_makes_them(arguments: str, first: int, later: int) -> None:
    course = expected(arguments=arguments)
    assert (course.first_group, course.group) == (first, later)


def test_more_ports_make_the_port_scan_a_larger_part() -> None:
    def share(arguments: str) -> float:
        course = expected(arguments=f"-sV {arguments}")
        return course.each[0].weight / sum(stage.weight for stage in course.each)

    assert share("-p 80") < share("-F") < share("--top-ports 500") < share("") < share("-p-")


def told(course: Expectation, events: list[ScanEvent]) -> list[float]:
    estimate = ScanEstimate(course)
    return [progress.percent for event in events if (progress := estimate.event(event)) is not None]


def up(address: str) -> Host:
    return Host("up", ())


FINISHED = ScanFinished(RunStats(exit="success"))


def phase(task: str, *percents: float) -> list[ScanEvent]:
    return [PhaseBegan(task, 0.0), *(Progress(task, 0.0, percent) for percent in percents), PhaseEnded(task, 0.0)]


def test_a_scan_of_one_group_goes_through_its_phases() -> None:
    percents = told(
        expected("10.0.0.0/30", "-sV"),
        [
            ScanStarted("nmap"),
            *phase("ARP Ping Scan", 50.0),
            HostHinted(up("10.0.0.1")),
            *phase("Parallel DNS resolution of 1 host."),
            *phase("Connect Scan", 25.0, 75.0),
            *phase("Service scan", 0.0, 50.0),
            *phase("NSE"),
            *phase("NSE"),
            HostFinished(up("10.0.0.1")),
            FINISHED,
        ],
    )
    assert percents[0] == 0.0
    assert percents[-1] == 100.0
    assert all(0 < later - earlier < 40 for earlier, later in pairwise(percents) if later != earlier)


def test_a_group_is_only_its_part_of_the_hosts() -> None:
    course = expected("10.0.0.0/24", "-n -Pn -p 1-1000")
    first = [*phase("Connect Scan", 50.0), *(HostFinished(up("")) for _ in range(64))]
    assert told(course, first)[-1] == pytest.approx(25.0, abs=1.0)
    assert told(course, [*first, *phase("Connect Scan", 50.0)])[-1] == pytest.approx(50.0, abs=1.0)


def test_hosts_that_did_not_answer_are_no_work() -> None:
    course = expected("10.0.0.0/24", "-n -p 1-1000")
    before: list[ScanEvent] = [*phase("Ping Scan"), *(HostHinted(up("")) for _ in range(4))]
    percents = told(
        course, [*before, *(HostFinished(Host("down", ())) for _ in range(252)), *phase("Connect Scan", 50.0)]
    )
    assert 60 < percents[-2] < 90


def test_without_progress_of_nmap_it_goes_on_with_phases_and_hosts() -> None:
    course = expected("10.0.0.0/25", "-n -Pn -sV")
    events: list[ScanEvent] = []
    for _ in range(2):
        events += [*phase("SYN Stealth Scan"), *phase("Service scan"), *phase("NSE")]
        events += [HostFinished(up("")) for _ in range(64)]
    percents = told(course, [*events, FINISHED])
    assert len(percents) >= 6
    assert percents[-1] == 100.0


def test_scripts_before_the_scan_are_not_those_at_its_end() -> None:
    course = expected("10.0.0.1", "-n -Pn -sC -p 1-1000")
    assert (
        told(course, [ScanStarted("nmap"), *phase("NSE"), *phase("Script Pre-Scan"), PhaseBegan("Connect Scan", 0.0)])[
            -1
        ]
        < 5
    )


def test_a_second_attempt_does_not_go_back() -> None:
    course = expected("10.0.0.1", "-n -Pn -p 80")
    once: list[ScanEvent] = [ScanStarted("nmap"), *phase("Connect Scan", 50.0, 80.0)]
    percents = told(course, [*once, *once, FINISHED])
    assert percents == sorted(percents)
    assert percents[-1] == 100.0


def test_a_scan_that_ended_with_an_error_is_not_done() -> None:
    assert max(told(expected(), [*phase("Connect Scan"), ScanFinished(RunStats(exit="error"))])) <= 99.0


TASKS = st.sampled_from(
    (
        *("Ping Scan", "ARP Ping Scan", "Parallel DNS resolution of 9 hosts.", "Connect Scan", "UDP Scan"),
        *("Service scan", "NSE", "OS detection", "Traceroute", "Script Pre-Scan", "pcap of 10.0.0.7", ""),
    )
)
EVENTS = st.lists(
    st.one_of(
        st.builds(PhaseBegan, TASKS, st.just(0.0)),
        st.builds(PhaseEnded, TASKS, st.just(0.0)),
        st.builds(Progress, TASKS, st.just(0.0), st.floats(0, 100)),
        st.builds(HostHinted, st.just(up(""))),
        st.builds(HostFinished, st.sampled_from([up(""), Host("down", ())])),
        st.just(ScanStarted("nmap")),
    ),
    max_size=40,
)
ARGUMENTS = st.sampled_from(["", "-sn", "-sL -n", "-n -Pn -p 80", "-sV -sC", "-sU -F", "-A -p-"])


@given(ARGUMENTS, EVENTS, EVENTS)
def test_whatever_nmap_says_it_never_falls_and_ends_with_the_scan(
    arguments: str, before: list[ScanEvent], after: list[ScanEvent]
) -> None:
    estimate = ScanEstimate(expected("10.0.0.0/26", arguments))
    percents: list[float] = []
    for event in before:
        progress = estimate.event(event)
        if progress is not None:
            assert 0.0 <= progress.percent <= 99.0
            percents.append(progress.percent)
    last = estimate.event(FINISHED)
    assert isinstance(last, OverallProgress)
    assert last.percent == 100.0
    percents += [last.percent, *(told.percent for event in after if (told := estimate.event(event)) is not None)]
    assert percents == sorted(percents)
