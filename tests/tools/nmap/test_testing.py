"""What is offered to the tests of others."""

from __future__ import annotations

import asyncio

import pytest

from tracefuse.tools import Policy, PolicyViolation, ScanRequest, ToolTimeoutError
from tracefuse.tools.nmap import Outcome, ScanFinished, ScanStarted, parse_nmap_output
from tracefuse.tools.nmap._scripts import select_scripts
from tracefuse.tools.nmap.testing import CUT_SHORT, FAILED, NO_HOSTS, ONE_HOST, SCRIPTS, fake_app


@pytest.mark.parametrize(
    ("output", "outcome", "hosts"),
    [
        (ONE_HOST, Outcome.SUCCESS, 1),
        (NO_HOSTS, Outcome.HOSTS_DOWN, 0),
        (FAILED, Outcome.FAILED, 0),
        (CUT_SHORT, Outcome.PARTIAL, 1),
    ],
    ids=["one host", "no hosts", "failed", "cut short"],
)
def test_the_outputs_are_what_they_say(output: bytes, outcome: Outcome, hosts: int) -> None:
    report = parse_nmap_output(output)
    assert (report.outcome, len(report.hosts)) == (outcome, hosts)


def test_scans_come_to_what_was_given_one_after_the_other_and_then_to_the_last() -> None:
    app, runner = fake_app(NO_HOSTS, ToolTimeoutError("slow"), ONE_HOST)
    ask = ScanRequest("10.0.0.7", "-p 22")
    assert not asyncio.run(app.scan(ask)).result.hosts
    with pytest.raises(ToolTimeoutError):
        asyncio.run(app.scan(ask))
    for _ in range(2):
        assert asyncio.run(app.scan(ask)).result == parse_nmap_output(ONE_HOST)
    assert runner.requests == [ask] * 4


def test_the_policy_is_the_real_one_and_a_refusal_uses_up_no_outcome() -> None:
    app, runner = fake_app(NO_HOSTS, ONE_HOST)
    with pytest.raises(PolicyViolation):
        asyncio.run(app.scan(ScanRequest("8.8.8.8")))
    assert asyncio.run(app.scan(ScanRequest("10.0.0.7"))).result.hosts_up == 0
    assert len(runner.requests) == 2


def test_names_are_resolved_as_told_and_events_are_those_of_the_output() -> None:
    app, _ = fake_app(names={"web.lab.internal": ("10.0.0.7",)})
    seen: list[object] = []
    done = asyncio.run(app.scan(ScanRequest("web.lab.internal"), on_event=seen.append))
    assert done.plan.argv[-1] == "10.0.0.7"
    assert isinstance(seen[0], ScanStarted) and isinstance(seen[-1], ScanFinished)
    with pytest.raises(PolicyViolation):
        asyncio.run(app.scan(ScanRequest("other.lab.internal")))


def test_the_script_database_has_allowed_and_refused_ones() -> None:
    assert select_scripts("default", Policy(), SCRIPTS).scripts == ("http-title", "ssh-hostkey")
    with pytest.raises(PolicyViolation):
        select_scripts("ssh-*", Policy(), SCRIPTS)
