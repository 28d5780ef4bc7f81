"""`tracefuse demo` from the outside: it ends in time, shows what was recorded, and cleans up."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from support.cli import COMMAND, environment, running_under, tracefuse
from support.components import nmap_needed
from support.polling import eventually

pytestmark = nmap_needed


def test_it_shows_the_main_job_and_what_was_recorded(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    ran = tracefuse("demo", "--save-svg", str(picture), env=environment(tmp_path / "cache"), timeout=60)
    assert (ran.code, ran.err) == (0, "")
    for shown in (
        "2 open ports",
        "opened: ssh",
        "closed, was open: smtp",
        "retry_after=",
        "the circuit is CLOSED",
        "circuit_breaker.transition",
        "phase ",
        "CLOSED → OPEN",
        "OPEN → HALF_OPEN",
        "HALF_OPEN → CLOSED",
        'circuit_breaker_calls_total{name="nmap",result="rejected"} 1.0',
    ):
        assert shown in ran.out, shown
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert list((tmp_path / "cache" / "runs").iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    env = environment(tmp_path / "cache")
    with subprocess.Popen([*COMMAND, "demo"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        eventually(lambda: running_under(tmp_path / "cache" / "runs"), "nmap to run", interval=0.005)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err.decode()) == (130, "tracefuse: interrupted\n")
    assert running_under(tmp_path) == []
    assert list((tmp_path / "cache" / "runs").iterdir()) == []


def test_without_nmap_it_says_how_to_get_it(tmp_path: Path) -> None:
    ran = tracefuse("demo", env=environment(tmp_path, TRACEFUSE_NMAP_PATH="/nonexistent/nmap"))
    assert (ran.code, ran.out) == (1, "")
    assert "apt install nmap" in ran.err
