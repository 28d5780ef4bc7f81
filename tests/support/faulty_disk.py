"""A collector whose queues lie on a small disk of their own, which can be filled and emptied from outside.

The disk is a tmpfs in the collector's own mount namespace: nothing of it is seen, or left behind, anywhere else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.components import IN_CI

if TYPE_CHECKING:
    from support.collector import Collector

__all__ = ["fill", "free", "on_small_disk"]

_SCRIPT = """#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs -o size={size} tmpfs "$OTELCOL_STORAGE_DIR" && exec "$0" "$@"' {binary} "$@"
"""


def on_small_disk(binary: Path, directory: Path, size: int) -> Path:
    """A program that starts `binary` with `size` bytes for its queues; skips, or fails in CI, where none can be had."""
    missing = _missing()
    if missing and IN_CI:
        pytest.fail(f"CI needs a small disk: {missing}")
    if missing:
        pytest.skip(f"needs a small disk: {missing}")
    (directory / "queue").mkdir()
    script = directory / "otelcol"
    script.write_text(_SCRIPT.format(size=size, binary=binary), encoding="utf-8")
    script.chmod(0o755)
    return script


def _missing() -> str:
    unshare = shutil.which("unshare")
    if unshare is None:
        return "there is no unshare (util-linux)"
    command = [unshare, "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return "" if tried.returncode == 0 else f"mounting needs root ({tried.stderr.strip()})"


def fill(collector: Collector, size: int) -> None:
    """Let something else take `size` bytes of the disk."""
    _other(collector).write_bytes(bytes(size))


def free(collector: Collector) -> None:
    """Take that away again."""
    _other(collector).unlink()


def _other(collector: Collector) -> Path:
    """A file on the disk, reached through the collector's own view of the files."""
    return Path(f"/proc/{collector.process.pid}/root{os.fspath(collector.directory)}/queue/other")
