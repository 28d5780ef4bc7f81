"""Fixtures for all tests. Helpers live in tests/support and are imported as `support.<module>`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tracefuse.telemetry.testing import InMemoryTelemetry

# At the end, so that nothing here hides an installed package.
sys.path.append(str(Path(__file__).parent))

from support.otlp import OtlpReceiver


@pytest.fixture
def memory() -> Iterator[InMemoryTelemetry]:
    """Telemetry in memory, shut down after the test."""
    with InMemoryTelemetry() as telemetry:
        yield telemetry


@pytest.fixture
def otlp_receiver() -> Iterator[Callable[..., OtlpReceiver]]:
    """Makes running receivers, `otlp_receiver(protocol, mode)`, and stops them after the test."""
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(OtlpReceiver(*args, **kwargs))
