"""Real components that tests need: found, or said how to get; in CI (`CI=true`) a missing one is a failure.

A test says what it needs with `component("nmap")`; `tests/conftest.py` skips it where that is missing,
and closes every run with what ran against which real component.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Final

import pytest

__all__ = ["HOW_TO_GET", "IN_CI", "component", "nmap_needed", "version_of"]

HOW_TO_GET: Final = {
    "nmap": "apt install nmap, dnf install nmap or brew install nmap",
    "promtool": "apt install prometheus, or put promtool of a Prometheus release on PATH",
    "prometheus": "apt install prometheus, or put prometheus of a Prometheus release on PATH",
    "ndiff": "apt install ndiff, or dnf install nmap-ndiff",
    "xmllint": "apt install libxml2-utils",
    "node": "apt install nodejs npm, version 20 or newer, and a network that reaches npm's registry once",
    "systemd-analyze": "apt install systemd",
    "kubectl": "apt install kubernetes-client",
    "collector": "make collector",
}

IN_CI: Final = os.environ.get("CI", "").lower() == "true"


def component(name: str) -> pytest.MarkDecorator:
    """The mark of a test that needs the real component `name`."""
    if name not in HOW_TO_GET:
        raise ValueError(f"no such component: {name}; there are {', '.join(HOW_TO_GET)}")
    return pytest.mark.component(name)


nmap_needed = component("nmap")


def version_of(program: str) -> str | None:
    """The version that `program` on PATH says it has; None when it is missing."""
    path = shutil.which(program)
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    found = re.search(r"\d+\.\d+[\w.+-]*", said.stdout + said.stderr)
    return found[0] if found else "of unknown version"
