"""Fixtures for testing code that uses breakers: `pytest_plugins = ["tracefuse.resilience.pytest_plugin"]`.

There is no entry point that loads it into every test run of every project on the machine.
"""

from __future__ import annotations

import pytest

from .testing import FakeClock, Recorder

__all__ = ["breaker_clock", "breaker_recorder"]


@pytest.fixture
def breaker_clock() -> FakeClock:
    """A clock that moves only when told to, for `clock=`."""
    return FakeClock()


@pytest.fixture
def breaker_recorder() -> Recorder:
    """A listener that keeps what it hears, for `listeners=`."""
    return Recorder()
