"""`tracefuse serve` beside a collector that may be missing: what it answers, and what it logs, in a file."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from support.cli import COMMAND, environment
from support.collector import reaped
from support.faulty_sender import QUICK
from support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FIXED", "ScanService", "serving"]

FIXED = "-p 1-8 --scan-delay 50ms"
"""A scan whose length is nmap's own waiting: about half a second, whatever else the machine does."""


@dataclass(frozen=True, slots=True)
class ScanService:
    """A running service."""

    process: subprocess.Popen[str]
    client: httpx.Client
    directory: Path

    def scan(self, arguments: str = "-p 80", **headers: str) -> dict[str, Any]:
        """The result of a scan of loopback, which succeeds."""
        answer = self.ask({"targets": ["127.0.0.1"], "extra_args": arguments}, **headers)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def ask(self, body: dict[str, object], **headers: str) -> httpx.Response:
        """Ask for a scan; the answer, whatever it is."""
        return self.client.post("/scans", json=body, headers=headers)

    def exporters(self) -> str:
        """How well its exporters are: what the readiness probe says of them."""
        return str(self.client.get("/readyz").json()["checks"]["exporters"])

    def metrics(self, accept: str = "text/plain") -> str:
        """What a scrape reads."""
        return self.client.get("/metrics", headers={"accept": accept}).text

    def value(self, name: str, labels: str = "") -> float:
        """The sum of its series of this name whose labels match a pattern."""
        found = re.findall(rf"^{name}\{{(?=[^}}]*{labels})[^}}]*\}} (\S+)", self.metrics(), re.MULTILINE)
        return sum(map(float, found))

    def log(self) -> str:
        """What it logged so far."""
        return (self.directory / "service.log").read_text(encoding="utf-8")


@contextmanager
def serving(port: int, directory: Path, **variables: str) -> Iterator[ScanService]:
    """A service that exports over gRPC to this port of loopback, whoever listens there; ended on the way out."""
    own = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "TRACEFUSE_HEALTH_INTERVAL": "0.5",
        "TRACEFUSE_SERVE_RATE": "100000",
        "XDG_STATE_HOME": str(directory / "state"),
    }
    env = environment(directory / "cache", **(QUICK | own | variables))
    command = [*COMMAND, "serve", "--port", "0"]
    with (
        (directory / "service.log").open("wb") as log,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        reaped(process),
    ):
        assert process.stdout is not None
        with httpx.Client(base_url=process.stdout.readline().split()[-1], timeout=60) as client:
            eventually(lambda: client.get("/livez").is_success, "the service to answer")
            yield ScanService(process, client, directory)
