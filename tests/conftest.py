"""Fixtures for all tests. Helpers live in tests/support and are imported as `support.<module>`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tracefuse.telemetry.testing import InMemoryTelemetry

if TYPE_CHECKING:
    from support.otlp import OtlpReceiver

# At the end, so that nothing here hides an installed package.
sys.path.append(str(Path(__file__).parent))

from support.summary import ComponentPlugin

# How long one example takes says more about the machine than about the code.
settings.register_profile("tracefuse", deadline=None)
settings.load_profile("tracefuse")


def pytest_configure(config: pytest.Config) -> None:
    """Skip what lacks its component, and close with what ran against which."""
    config.pluginmanager.register(ComponentPlugin(), "tracefuse-components")


@pytest.fixture
def memory() -> Iterator[InMemoryTelemetry]:
    """Telemetry in memory, shut down after the test."""
    with InMemoryTelemetry() as telemetry:
        yield telemetry


@pytest.fixture
def otlp_receiver() -> Iterator[Callable[..., OtlpReceiver]]:
    """Makes running receivers, `otlp_receiver(protocol, mode)`, and stops them after the test."""
    # Imported here, so that gRPC's threads are in no process that does not need them.
    from support.otlp import OtlpReceiver

    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(OtlpReceiver(*args, **kwargs))
