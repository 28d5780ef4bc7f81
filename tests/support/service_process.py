"""`tracefuse serve` as a child process, on a free port of loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from support.cli import COMMAND
from support.polling import eventually


@dataclass(frozen=True)
class Service:
    """A running service; `runs` is the folder in which it starts nmap."""

    process: subprocess.Popen[str]
    url: str
    runs: Path

    def scan(self, target: str = "127.0.0.1", **fields: object) -> httpx.Response:
        """Ask for a scan."""
        return httpx.post(f"{self.url}/scans", json={"targets": [target], **fields}, timeout=60)

    def metrics(self, accept: str = "text/plain") -> str:
        """What a scrape reads."""
        return httpx.get(f"{self.url}/metrics", headers={"accept": accept}, timeout=30).text


@contextmanager
def serving(env: Mapping[str, str]) -> Iterator[Service]:
    """A service that answers; killed on the way out if it still runs."""
    command = [*COMMAND, "serve", "--port", "0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            eventually(lambda: httpx.get(f"{url}/livez").is_success, "the service to answer")
            yield Service(process, url, Path(env["TRACEFUSE_CACHE_DIR"]) / "runs")
        finally:
            process.kill()
