"""Schedules from the command line to the history, with a real service and a real nmap."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import Ran, environment, tracefuse
from support.components import nmap_needed
from support.greeting import greeting
from support.polling import eventually
from support.service_process import serving

pytestmark = nmap_needed


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "cache", TRACEFUSE_STATE_DIR=str(tmp_path / "state"))


@pytest.fixture
def listening() -> Iterator[int]:
    with greeting() as port:
        yield port


def schedule(*arguments: str, env: dict[str, str]) -> Ran:
    return tracefuse("schedule", *arguments, env=env)


def known(env: dict[str, str]) -> dict[str, Any]:
    """The schedules by name."""
    views = json.loads(schedule("list", "--json", env=env).out)["schedules"]
    return {view["name"]: view for view in views}


def test_a_service_runs_what_a_command_added_meanwhile(env: dict[str, str], listening: int) -> None:
    with serving(env) as service:
        added = schedule("add", "lab", "127.0.0.1", "--args", f"-p {listening}", "--every", "1s", env=env)
        assert (added.code, added.err) == (0, "")
        assert added.out.startswith("lab: every 1s, next 20")
        eventually(lambda: known(env)["lab"]["last_state"] == "completed", "a scheduled scan to be completed")
        assert schedule("pause", "lab", env=env).out == "lab rests\n"
        assert 'tracefuse_schedule_runs_total{result="completed"}' in service.metrics()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
    assert known(env)["lab"]["next"] is None
    history = json.loads(tracefuse("history", "list", "--schedule", "lab", "--json", env=env).out)
    assert history["scans"][0]["caller"] == {"kind": "schedule", "name": "lab", "user": None}


def test_a_service_that_is_killed_goes_on_where_it_was(env: dict[str, str]) -> None:
    assert schedule("add", "lab", "127.0.0.1", "--args", "-p 1", "--every", "1s", env=env).code == 0
    for _ in range(2):
        with serving(env) as service:
            before = known(env)["lab"]["last_scan"]
            eventually(lambda before=before: known(env)["lab"]["last_scan"] != before, "a scheduled scan")  # type: ignore[misc]
            os.kill(service.process.pid, signal.SIGKILL)


def test_a_run_by_hand_says_what_changed(env: dict[str, str], listening: int) -> None:
    schedule("add", "lab", "127.0.0.1", "--args", f"-p {listening}", "--every", "1d", env=env)
    first = schedule("run", "lab", env=env)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("completed: 1 host up, 1 open port, nothing to compare with")
    assert "circuit_breaker.created" not in first.err
    second = json.loads(schedule("run", "lab", "--json", env=env).out)
    assert (second["state"], second["changes"], second["schedule"]) == ("completed", 0, "lab")


def test_the_next_runs_are_told_in_order(env: dict[str, str]) -> None:
    schedule("add", "a", "127.0.0.1", "--every", "1h", env=env)
    schedule("add", "b", "127.0.0.1", "--cron", "*/20 * * * *", env=env)
    runs = json.loads(schedule("next", "-n", "8", "--json", env=env).out)
    assert len(runs) == 8
    assert [run["due"] for run in runs] == sorted(run["due"] for run in runs)
    assert sorted({run["name"] for run in runs}) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "lab", "8.8.8.8", "--every", "1h"), "refused"),
        (("add", "lab", "127.0.0.1"), "give either an interval or a cron expression; for example every 6h"),
        (("add", "lab", "127.0.0.1", "--every", "1h", "--cron", "* * * * *"), "give either an interval or"),
        (("add", "lab", "127.0.0.1", "--every", "soon"), "for example 1h30m"),
        (("add", "lab", "127.0.0.1", "--cron", "61 * * * *"), "bad minute"),
        (("add", "lab", "127.0.0.1", "--cron", "0 3 * * *", "--timezone", "Mars/Olympus"), "no such time zone"),
        (("add", "no/name", "127.0.0.1", "--every", "1h"), "for example nightly-lab"),
        (("remove", "nobody"), "no schedule is called 'nobody'"),
        (("run", "nobody"), "no schedule is called 'nobody'"),
        (("next", "nobody"), "no schedule is called 'nobody'"),
    ],
)
def test_what_cannot_be_is_refused_with_an_example(env: dict[str, str], arguments: tuple[str, ...], said: str) -> None:
    ran = schedule(*arguments, env=env)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert known(env) == {}
