"""`tracefuse metrics`: figures from scrapes, and how they are shown."""

from __future__ import annotations

import csv
import http.server
import io
import json
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tracefuse.telemetry import ToolInstruments
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools._exit import ExitCode
from tracefuse.tools.cli._metrics_command import show_metrics
from tracefuse.tools.cli._metrics_scrape import figures, read_scrape
from tracefuse.tools.cli._metrics_view import History, as_table, sparkline

BREAKER = '# TYPE circuit_breaker_state gauge\ncircuit_breaker_state{name="nmap"} 1.0\n'


@pytest.fixture
def service() -> Iterator[tuple[ToolInstruments, Any]]:
    """Tools to record on, and what fetches their `/metrics`."""
    with InMemoryTelemetry() as memory:
        yield (
            ToolInstruments(memory.telemetry.instrumentation),
            lambda _url: memory.telemetry.exposition().body.decode() + BREAKER,
        )


def run(tools: ToolInstruments, count: int, seconds: float, failures: int = 0) -> None:
    for number in range(count):
        tools.start("nmap")
        tools.finish("nmap", "failure" if number < failures else "success", "timeout", seconds=seconds)


def test_rates_and_quantiles_are_those_between_two_scrapes(service: Any) -> None:
    tools, fetch = service
    run(tools, 100, 0.02)
    old = read_scrape(fetch(""), 10.0)
    run(tools, 20, 40.0, failures=5)
    new = read_scrape(fetch(""), 20.0)
    (nmap,) = figures(new, old).tools
    assert (nmap.executions, nmap.failures, nmap.rate, nmap.error_ratio, nmap.mean) == (120, 5, 2.0, 0.25, 40.0)
    assert 30.0 < nmap.p50 <= nmap.p99 <= 60.0
    (whole,) = figures(new).tools
    assert whole.rate is None
    assert whole.p50 < 0.025
    assert figures(new, new).tools[0].rate is None


def test_a_service_that_was_started_anew_does_not_run_backwards(service: Any) -> None:
    tools, fetch = service
    run(tools, 3, 0.1)
    old = read_scrape(fetch("").replace('tool="nmap"} 3.0', 'tool="nmap"} 50.0'), 0.0)
    (nmap,) = figures(read_scrape(fetch(""), 10.0), old).tools
    assert nmap.rate == 0.3


def test_the_table_shows_tools_and_breakers(service: Any, capsys: pytest.CaptureFixture[str]) -> None:
    tools, fetch = service
    run(tools, 4, 0.2, failures=1)
    assert show_metrics(once=True, fetch=fetch) is ExitCode.DONE
    shown = capsys.readouterr().out
    assert "nmap" in shown
    assert "25.0%" in shown
    assert "breakers  nmap: open" in shown


@pytest.mark.parametrize("as_what", ["json", "csv"])
def test_figures_can_be_read_by_programs(service: Any, capsys: pytest.CaptureFixture[str], as_what: str) -> None:
    tools, fetch = service
    run(tools, 4, 0.2, failures=1)

    def meanwhile(_: float) -> None:
        run(tools, 4, 0.2)

    assert show_metrics(as_what=as_what, fetch=fetch, sleep=meanwhile) is ExitCode.DONE
    out = capsys.readouterr().out
    if as_what == "json":
        body = json.loads(out)
        assert body["breakers"] == {"nmap": "open"}
        assert (body["tools"][0]["executions"], body["tools"][0]["error_ratio"]) == (8, 0.0)
    else:
        (row,) = csv.DictReader(io.StringIO(out))
        assert (row["tool"], row["executions"], row["failures"]) == ("nmap", "8", "1")


def test_the_distribution_is_a_picture(service: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tools, fetch = service
    tools.finish("<b>&", "success", seconds=700.0)
    picture = tmp_path / "latency.svg"
    assert show_metrics(once=True, svg=str(picture), fetch=fetch) is ExitCode.DONE
    root = ET.parse(picture).getroot()
    assert root.tag.endswith("svg")
    assert "<b>&" in [element.text for element in root.iter()]
    assert "up to 1800 s: 1" in [element.text for element in root.iter()]
    assert capsys.readouterr().out


def test_it_goes_on_until_it_is_interrupted(service: Any) -> None:
    tools, fetch = service
    rounds = 0

    def sleep(_: float) -> None:
        nonlocal rounds
        rounds += 1
        run(tools, 1, 0.1)
        if rounds == 3:
            raise KeyboardInterrupt

    # Passed on: the command line makes exit code 130 of it, as for every command.
    with pytest.raises(KeyboardInterrupt):
        show_metrics(fetch=fetch, sleep=sleep)
    assert rounds == 3


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/metrics", "file:///etc/passwd"])
def test_no_service_is_said_in_one_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_metrics(url, once=True) is ExitCode.FAILED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"tracefuse: no metrics from {url}: ")
    assert said.err.count("\n") == 1


def test_what_is_no_metrics_page_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_metrics(once=True, fetch=lambda _: "<html> {not metrics</html>") is ExitCode.FAILED
    assert "no metrics from" in capsys.readouterr().err


def test_a_program_gets_the_error_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_metrics("ftp://x/metrics", once=True, as_what="json") is ExitCode.FAILED
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["type"], error["url"]) == ("no_metrics", "ftp://x/metrics")


def test_a_page_that_is_no_metrics_is_not_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    page = '{"a": "' + "x" * 5_000 + '"}'
    assert show_metrics(once=True, fetch=lambda _: page) is ExitCode.FAILED
    assert len(capsys.readouterr().err) < 400


def test_the_address_of_the_service_means_its_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def fetch(url: str) -> str:
        asked.append(url)
        return BREAKER

    for url in ("http://127.0.0.1:8080", "http://127.0.0.1:8080/", "http://127.0.0.1:8080/metrics"):
        assert show_metrics(url, once=True, fetch=fetch) is ExitCode.DONE
    assert asked == ["http://127.0.0.1:8080/metrics"] * 3
    assert "nmap" in capsys.readouterr().out


@pytest.fixture
def guarded() -> Iterator[str]:
    """A service that wants a token; /moved leads elsewhere."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == "Bearer s3cret"
            self.send_response(302 if self.path == "/moved" else 200 if known else 401)
            self.send_header("Location", "/metrics")
            self.end_headers()
            self.wfile.write(BREAKER.encode())

        log_message = lambda *_: None  # noqa: E731 - be quiet

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_metrics_are_fetched_over_http_with_a_token_from_a_file(
    guarded: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n", encoding="utf-8")
    assert show_metrics(f"{guarded}/metrics", once=True, token_file=str(token)) is ExitCode.DONE
    assert "nmap: open" in capsys.readouterr().out
    assert show_metrics(f"{guarded}/moved", once=True, token_file=str(token)) is ExitCode.FAILED
    assert "the service answers 302" in capsys.readouterr().err


@pytest.mark.parametrize(("token", "said"), [(None, "--token-file FILE"), ("wrong", "401"), ("", "holds no token")])
def test_a_token_that_is_wanted_is_said(
    guarded: str, token: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(token or "", encoding="utf-8")
    chosen = None if token is None else str(file)
    assert show_metrics(f"{guarded}/metrics", once=True, token_file=chosen) is ExitCode.FAILED
    assert said in capsys.readouterr().err
    assert show_metrics(f"{guarded}/metrics", once=True, token_file=str(tmp_path / "none")) is ExitCode.FAILED


def test_sparklines_are_bounded_and_forget_what_is_gone() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, 0.0]) == "▁▁"
    history = History(length=3)
    line = 'mcp_tool_execution_total{{tool="t",status="success",error_type="none"}} {}\n'
    head = "# TYPE mcp_tool_execution_total counter\n"
    scrapes = [read_scrape(head + line.format(float(n * n)), float(n)) for n in range(6)]
    for old, new in pairwise(scrapes):
        history.add(figures(new, old))
    assert len(history.of("t")) == 3
    assert as_table(figures(scrapes[-1], scrapes[-2]), history).row_count == 1
    history.add(figures(read_scrape("", 9.0)))
    assert history.of("t") == ""
