"""200 parallel scrapes while metrics are recorded: all complete, none doubled, accepted by Prometheus' own tools."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.components import component
from tracefuse.telemetry import Telemetry, ToolInstruments, configure, operation_span

SCRAPES = 200
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TOOLS = [f"tool{number}" for number in range(20)]
TOTAL = "mcp_tool_execution_total"


def record_until(stop: threading.Event, telemetry: Telemetry) -> int:
    """Executions of all tools, over and over; how many rounds."""
    tools, rounds = ToolInstruments(telemetry.instrumentation), 0
    while not stop.is_set():
        for tool in TOOLS:
            with operation_span(telemetry.instrumentation.tracer, "work"):
                tools.start(tool)
                tools.finish(tool, "success", seconds=0.01 * (rounds % 100))
        rounds += 1
    return rounds


def samples(text: str) -> list[tuple[str, float]]:
    return [
        (name, float(value.split(" # ")[0]))
        for name, _, value in (line.partition("} ") for line in text.splitlines() if not line.startswith("#"))
    ]


@pytest.fixture(scope="module")
def scrapes() -> list[list[str]]:
    """Eight scrapers' texts, each in the order they came; every second scrape asks for OpenMetrics."""
    stop = threading.Event()
    with configure({}, set_global=False) as telemetry, ThreadPoolExecutor(10) as pool:
        tools = ToolInstruments(telemetry.instrumentation)
        for tool in TOOLS:
            tools.start(tool)
            tools.finish(tool, "success", seconds=0.1)
        recording = [pool.submit(record_until, stop, telemetry) for _ in range(2)]

        def scrape(_: int) -> list[str]:
            accepts = [None, OPENMETRICS] * (SCRAPES // 16 + 1)
            return [telemetry.exposition(accept).body.decode() for accept in accepts[: SCRAPES // 8]]

        try:
            texts = list(pool.map(scrape, range(8)))
        finally:
            stop.set()
        assert all(future.result(60) > 0 for future in recording)
    return texts


def test_every_scrape_is_complete_and_none_doubled(scrapes: list[list[str]]) -> None:
    texts = [text for one in scrapes for text in one]
    assert len(texts) == SCRAPES
    for text in texts:
        names = Counter(name for name, _ in samples(text))
        assert sum(name.startswith(TOTAL) for name in names) == len(TOOLS)
        assert sum(name.startswith("mcp_tool_execution_seconds_bucket") for name in names) == 22 * len(TOOLS)
        assert max(names.values()) == 1
        types = Counter(line for line in text.splitlines() if line.startswith("# TYPE"))
        assert max(types.values()) == 1


def test_values_never_fall_from_one_scrape_to_the_next(scrapes: list[list[str]]) -> None:
    for one in scrapes:
        seen: dict[str, float] = {}
        for text in one:
            for name, value in samples(text):
                if name.startswith(("mcp_tool_execution_total", "mcp_tool_execution_seconds_")):
                    assert value >= seen.get(name, 0.0), name
                    seen[name] = value
        assert sum(value for name, value in seen.items() if name.startswith(TOTAL)) > len(TOOLS)


def test_the_openmetrics_parser_accepts_every_scrape_and_finds_exemplars(scrapes: list[list[str]]) -> None:
    for one in scrapes:
        for text in one[1::2]:
            assert text.endswith("# EOF\n")
            families = {family.name: family for family in text_string_to_metric_families(text)}
            durations = families["mcp_tool_execution_seconds"].samples
            exemplars = [sample.exemplar for sample in durations if sample.exemplar]
            assert all(len(exemplar.labels["trace_id"]) == 32 for exemplar in exemplars)
        assert exemplars


@component("promtool")
def test_promtool_accepts_the_classic_text(scrapes: list[list[str]]) -> None:
    promtool = shutil.which("promtool") or "promtool"
    for one in scrapes:
        done = subprocess.run(
            [promtool, "check", "metrics"],
            input=one[-1] if len(one) % 2 else one[-2],
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
