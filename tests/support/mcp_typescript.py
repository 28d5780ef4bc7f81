"""The client on the TypeScript SDK: installed once into a cache outside the tree, as its lock file says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from support.components import HOW_TO_GET, IN_CI

__all__ = ["install", "run_client"]

_SOURCE: Final = Path(__file__).parent / "mcp_client_ts"


def install() -> Path:
    """The folder with the client and what it needs; skips where it cannot be had, and fails in CI."""
    files = ("package.json", "package-lock.json", "client.mjs")
    digest = hashlib.sha256(b"".join((_SOURCE / name).read_bytes() for name in files)).hexdigest()[:16]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "tracefuse-tests" / f"mcp-client-ts-{digest}"
    if not (folder / "installed").exists():
        _fill(folder, files)
    return folder


def _fill(folder: Path, files: tuple[str, ...]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        _missing("there is no npm")
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        shutil.copy(_SOURCE / name, folder / name)
    command = [str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        _missing(done.stderr.strip()[-300:])
    (folder / "installed").touch()


def _missing(why: str) -> None:
    (pytest.fail if IN_CI else pytest.skip)(f"needs node and npm's registry ({why}): {HOW_TO_GET['node']}")


def run_client(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What the client saw."""
    command = ["node", str(folder / "client.mjs"), *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
