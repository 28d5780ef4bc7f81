"""Running `tracefuse` as a user does: a process, its two outputs, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = (sys.executable, "-m", "tracefuse.tools")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(cache: Path, **variables: str) -> dict[str, str]:
    """The caller's environment without its own settings (variables, a file in the home folder), then `variables`."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "TRACEFUSE_", "TRACEPARENT", "MCP_"))
    }
    folders = {"TRACEFUSE_CACHE_DIR": str(cache), "TRACEFUSE_STATE_DIR": str(cache / "state")}
    return kept | folders | {"TRACEFUSE_CONFIG": ""} | {"COLUMNS": "160"} | variables


def tracefuse(*args: str, env: Mapping[str, str], timeout: float = 60) -> Ran:
    """Run the command to its end."""
    done = subprocess.run([*COMMAND, *args], env=env, capture_output=True, text=True, timeout=timeout, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def script(path: Path, source: str) -> str:
    """Write an executable shell script, a program under nmap's name."""
    path.write_text(f"#!/bin/sh\n{source}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def running_under(folder: Path) -> list[int]:
    """The processes whose working directory lies below `folder`: where Tracefuse starts nmap."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
