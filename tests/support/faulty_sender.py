"""A Tracefuse process that sends telemetry to a collector: told what to record, asked what became of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.cli import environment
from support.collector import reaped

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["QUICK", "Sender", "sending"]

QUICK = {
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "OTEL_BLRP_SCHEDULE_DELAY": "100",
    "OTEL_METRIC_EXPORT_INTERVAL": "200",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
}
"""Exports soon and often, and little at once: the collector syncs each trace that it keeps to the disk."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A running sender."""

    process: subprocess.Popen[str]
    directory: Path

    def do(self, order: str, **arguments: float) -> dict[str, Any]:
        """Let it do this and wait for its answer."""
        self.begin(order, **arguments)
        return self.answer()

    def begin(self, order: str, **arguments: float) -> None:
        """Let it do this; `answer` waits for it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": order, **arguments}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What the order begun comes to."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the sender ended:\n{self.log()}"
        return json.loads(line)  # type: ignore[no-any-return]

    def record(self, count: int, *, rate: float = 0.0, size: int = 0, eventful: bool = True) -> set[str]:
        """Record spans; their ids."""
        return set(self.do("record", count=count, rate=rate, size=size, eventful=eventful)["spans"])

    def metrics(self) -> str:
        """What a scrape of its own /metrics would read."""
        return str(self.do("metrics")["text"])

    def log(self) -> str:
        """What it logged so far."""
        return (self.directory / "sender.log").read_text(encoding="utf-8")


@contextmanager
def sending(port: int, directory: Path, **variables: str) -> Iterator[Sender]:
    """A sender that exports over gRPC to this port of loopback; ended on the way out."""
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "PYTHONPATH": os.pathsep.join(sys.path)}
    env = environment(directory / "cache", **(QUICK | endpoint | variables))
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "support.faulty_sender_program"]
    with (
        (directory / "sender.log").open("wb") as log,
        subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=log, text=True) as process,
        reaped(process),
    ):
        yield Sender(process, directory)
