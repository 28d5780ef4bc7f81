"""The testing kit, used as its users would use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tracefuse.resilience.testing import FakeClock

USER_TEST = """
from tracefuse.resilience import CircuitBreaker

pytest_plugins = ["tracefuse.resilience.pytest_plugin"]

def test_recovery(breaker_clock, breaker_recorder):
    breaker = CircuitBreaker(1, 10.0, clock=breaker_clock, listeners=[breaker_recorder], enable_jitter=False)
    breaker.call_failed()
    breaker_clock.advance(10)
    breaker.call_sync(int)
    assert breaker_recorder.moves[-1] == ("HALF_OPEN", "CLOSED")
"""


def test_the_fixtures_work_in_a_users_suite(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(USER_TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("step", [-1.0, float("nan")])
def test_a_fake_clock_moves_forward_only(step: float) -> None:
    with pytest.raises(ValueError, match="a monotonic clock cannot move by"):
        FakeClock().advance(step)
