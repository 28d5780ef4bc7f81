"""Fixtures for testing code that uses breakers; pytest finds them where Tracefuse is installed.

Imports wait until a fixture is used: every test run on the machine loads this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import FakeClock, Recorder

__all__ = ["breaker_clock", "breaker_recorder"]


@pytest.fixture
def breaker_clock() -> FakeClock:
    """A clock that moves only when told to, for `clock=`."""
    from .testing import FakeClock

    return FakeClock()


@pytest.fixture
def breaker_recorder() -> Recorder:
    """A listener that keeps what it hears, for `listeners=`."""
    from .testing import Recorder

    return Recorder()
