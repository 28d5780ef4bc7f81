"""Real components that tests need: found, or said how to get; in CI (`CI=true`) a missing one is a failure."""

from __future__ import annotations

import os
import shutil

import pytest

HOW_TO_GET = {
    "nmap": "apt install nmap, dnf install nmap or brew install nmap",
    "promtool": "apt install prometheus, or put promtool of a Prometheus release on PATH",
    "prometheus": "apt install prometheus, or put prometheus of a Prometheus release on PATH",
}

IN_CI = os.environ.get("CI", "").lower() == "true"


def needed(program: str) -> pytest.MarkDecorator:
    """Skip where `program` is missing, with the way to get it; in CI run and fail instead."""
    missing = shutil.which(program) is None and not IN_CI
    return pytest.mark.skipif(missing, reason=f"needs {program}: {HOW_TO_GET[program]}")


nmap_needed = needed("nmap")
