from __future__ import annotations

import pytest

from tracefuse.resilience.testing import FakeClock, Recorder


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1000.0)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
