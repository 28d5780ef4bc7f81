"""A real Prometheus as a child process, with the shipped configuration and rules, scraping each second."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from support.collector import ROOT, free_ports, get, reaped
from support.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.collector import Collector

__all__ = ["Prometheus", "scraping"]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """What a running Prometheus answers."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP API."""
        return json.loads(get(f"{self.url}/api/v1/{path}?{urlencode(parameters)}"))["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        return list(self.ask("query", query=expression)["result"])

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The exemplars of all series that an expression reads, as Grafana asks for them."""
        found = self.ask("query_exemplars", query=expression, start="0", end="9999999999")
        return [exemplar for series in found for exemplar in series["exemplars"]]


@contextmanager
def scraping(collector: Collector, directory: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `collector` and evaluates the shipped rules; ended on the way out."""
    (port,) = free_ports(1)
    shipped = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    settings = shipped.replace(":8889", f":{collector.prometheus}").replace(":8888", f":{collector.own}")
    settings = settings.replace("15s", "1s").replace("rules/", f"{ROOT}/telemetry/rules/")
    (directory / "prometheus.yml").write_text(settings, encoding="utf-8")
    command = [
        *("prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"),
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    with reaped(process):
        eventually(lambda: "Ready" in get(f"http://127.0.0.1:{port}/-/ready"), "Prometheus to be ready")
        yield Prometheus(f"http://127.0.0.1:{port}")
