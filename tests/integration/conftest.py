"""What the tests with real processes share: the collector's binary."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.collector import CollectorMissingError, find_collector
from support.components import IN_CI


@pytest.fixture(scope="session")
def collector_binary() -> Path:
    """Found or built once; where it cannot be had the test is skipped with the way to get it, in CI it fails."""
    try:
        return find_collector()
    except CollectorMissingError as missing:
        if IN_CI:
            pytest.fail(f"CI needs a collector: {missing}")
        pytest.skip(f"needs a collector: {missing}")
