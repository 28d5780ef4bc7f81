"""Fixtures of the metrics tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tracefuse.telemetry import MetricsManager


class Clock:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager() -> Iterator[MetricsManager]:
    """A manager of its own, with room for ten tools."""
    MetricsManager.reset_for_testing()
    yield MetricsManager(max_tools=10)
    MetricsManager.reset_for_testing()
