"""`tracefuse serve` as a child process, on a free port of loopback."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from support.cli import COMMAND
from support.polling import eventually


@dataclass(frozen=True)
class Service:
    """A running service; `runs` is the folder in which it starts nmap, `log` the file with what it says to people."""

    process: subprocess.Popen[str]
    url: str
    runs: Path
    log: Path

    @property
    def said(self) -> str:
        """Its standard error so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def scan(self, target: str = "127.0.0.1", **fields: object) -> httpx.Response:
        """Ask for a scan."""
        return httpx.post(f"{self.url}/scans", json={"targets": [target], **fields}, timeout=60)

    def metrics(self, accept: str = "text/plain") -> str:
        """What a scrape reads."""
        return httpx.get(f"{self.url}/metrics", headers={"accept": accept}, timeout=30).text


@contextmanager
def serving(env: Mapping[str, str]) -> Iterator[Service]:
    """A service that answers; killed on the way out if it still runs.

    Its standard error is a file, since nobody would empty a pipe, and a full one would stop the service.
    """
    command = [*COMMAND, "serve", "--port", "0"]
    with (
        tempfile.NamedTemporaryFile(prefix="tracefuse-serve-", suffix=".log") as log,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline().split()
            assert first, Path(log.name).read_text(encoding="utf-8", errors="replace")
            url = first[-1]
            eventually(lambda: httpx.get(f"{url}/livez").is_success, "the service to answer")
            yield Service(process, url, Path(env["TRACEFUSE_CACHE_DIR"]) / "runs", Path(log.name))
        finally:
            process.kill()
