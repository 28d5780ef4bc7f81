"""`tracefuse serve --mcp stdio` as agents start it: clean pipes, clean ends, one trace."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from mcp_types import CallToolResult

from support.cli import environment
from support.components import nmap_needed
from support.greeting import greeting
from support.mcp_service import MODES, called, hanging_nmap, process_of, quick_nmap, told
from support.mcp_stdio import META, over_stdio, wire
from support.otlp import OtlpReceiver, attributes
from support.polling import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
SERVER, INTERNAL, CLIENT = 2, 1, 3
"""Kinds of spans in OTLP."""


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of loopback where a service greets."""
    with greeting() as port:
        yield port


@nmap_needed
@pytest.mark.parametrize("mode", MODES)
async def test_an_agent_scans_and_reads_the_result(tmp_path: Path, listening: int, mode: str) -> None:
    async with over_stdio(environment(tmp_path), mode) as client:
        scan = await called(client, "nmap_scan", target="127.0.0.1", extra_args=f"-sV -p {listening}")
        assert scan["hosts"][0]["ports"][0]["banner"] == "OpenSSH 9.6 (protocol 2.0)"
        uri = f"tracefuse://scans/{scan['scan_id']}"
        document = json.loads((await client.read_resource(uri)).contents[0].text)  # type: ignore[union-attr]
        refused = await client.call_tool("nmap_scan", {"target": "8.8.8.8"})
        assert isinstance(refused, CallToolResult) and "target.network" in told(refused)
    assert document["report"]["hosts"][0]["ports"][0]["number"] == listening


@nmap_needed
def test_the_agents_trace_goes_down_to_the_phases_of_nmap(
    tmp_path: Path, listening: int, otlp_receiver: Callable[..., OtlpReceiver]
) -> None:
    receiver = otlp_receiver("http/protobuf")
    env = environment(tmp_path, **receiver.environ)
    with wire(env) as service:
        arguments = {"target": "127.0.0.1", "extra_args": f"-sV -p {listening}"}
        meta = META | {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
        params = {"name": "nmap_scan", "arguments": arguments, "_meta": meta}
        service.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        assert service.answer(1)["result"]["structuredContent"]["trace_id"] == TRACE
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
    spans = {span.name: span for span in receiver.spans() if span.trace_id.hex() == TRACE}
    server = spans["tools/call nmap_scan"]
    assert (server.kind, server.parent_span_id.hex(), server.trace_state) == (SERVER, SPAN, "vendor=1")
    assert attributes(server)["mcp.protocol.version"] == "2026-07-28"
    line = ["tools/call nmap_scan", "nmap scan", "attempt", "nmap", "phase Service scan"]
    for above, below in pairwise(line):
        assert spans[below].parent_span_id == spans[above].span_id
    assert [spans[name].kind for name in line] == [SERVER, INTERNAL, INTERNAL, CLIENT, INTERNAL]
    assert sum(span.kind == SERVER for span in spans.values()) == 1


def test_nothing_but_messages_comes_out_and_rubbish_does_no_harm(tmp_path: Path) -> None:
    env = environment(tmp_path, TRACEFUSE_LOGGING_LEVEL="debug", TRACEFUSE_NMAP_PATH=quick_nmap(tmp_path))
    with wire(env) as service:
        for line in (b"not json", b"\xff\xfe\x00", b"", b"[]", b"{}", b"x" * (5 << 20), b'{"jsonrpc":"2.0","id":[]}'):
            service.send(line)
        service.call(1, "nmap_scan", target="10.0.0.7", extra_args="-p 22")
        assert service.answer(1)["result"]["structuredContent"]["state"] == "completed"
        service.call(2, "nmap_scan", target="x" * 100_000, extra_args="y" * 100_000)
        assert service.answer(2)["result"]["isError"] is True
        service.send(b"[" * 100_000)
        service.call(3, "breaker_status")
        assert service.answer(3)["result"]["isError"] is False
        assert service.process.stdin is not None and service.process.stdout is not None
        service.process.stdin.close()
        assert service.process.wait(30) == 0
        assert service.process.stdout.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_the_client_keeps_its_pipe_open(tmp_path: Path, number: signal.Signals) -> None:
    with wire(environment(tmp_path, TRACEFUSE_NMAP_PATH=quick_nmap(tmp_path))) as service:
        service.call(1, "breaker_status")
        service.answer(1)
        service.process.send_signal(number)
        assert service.process.wait(20) == 0


def test_a_client_that_hangs_up_leaves_nothing_running(tmp_path: Path) -> None:
    env = environment(tmp_path, TRACEFUSE_NMAP_PATH=hanging_nmap(tmp_path), TRACEFUSE_SERVE_GRACE="0")
    with wire(env) as service:
        service.call(1, "nmap_scan", target="10.0.0.7", extra_args="-p 22")
        eventually(lambda: process_of(tmp_path), "nmap to run")
        assert service.process.stdin is not None
        service.process.stdin.close()
        assert service.process.wait(30) == 0
    assert process_of(tmp_path) is None


def test_cancelled_means_no_answer_and_no_nmap(tmp_path: Path) -> None:
    with wire(environment(tmp_path, TRACEFUSE_NMAP_PATH=hanging_nmap(tmp_path))) as service:
        service.call(1, "nmap_scan", target="10.0.0.7", extra_args="-p 22")
        eventually(lambda: process_of(tmp_path), "nmap to run")
        service.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        eventually(lambda: process_of(tmp_path) is None, "nmap to end")
        service.call(2, "scan_history")
        answer = service.receive()
    assert answer["id"] == 2
    assert answer["result"]["structuredContent"]["scans"][0]["state"] == "cancelled"


def test_a_scan_survives_the_service_as_an_interrupted_one(tmp_path: Path) -> None:
    env = environment(tmp_path, TRACEFUSE_NMAP_PATH=hanging_nmap(tmp_path), TRACEFUSE_SERVE_GRACE="0")
    for end, hosts in ((signal.SIGTERM, 1), (signal.SIGKILL, 0)):
        with wire(env) as service:
            service.call(1, "scan_start", target="10.0.0.7", extra_args="-p 22")
            scan_id = service.answer(1)["result"]["structuredContent"]["scan_id"]
            eventually(lambda: process_of(tmp_path), "nmap to run")
            service.process.send_signal(end)
            service.process.wait(30)
        eventually(lambda: process_of(tmp_path) is None, "nmap to end")
        with wire(env) as service:
            service.call(1, "scan_result", scan_id=scan_id)
            found = service.answer(1)["result"]["structuredContent"]
        assert (found["state"], found["complete"], len(found["hosts"])) == ("interrupted", False, hosts)


def test_a_client_that_hangs_up_and_insists_does_not_wait_for_scans_and_keeps_what_they_found(tmp_path: Path) -> None:
    env = environment(tmp_path, TRACEFUSE_NMAP_PATH=hanging_nmap(tmp_path), TRACEFUSE_SERVE_GRACE="60")
    with wire(env) as service:
        service.call(1, "scan_start", target="10.0.0.7", extra_args="-p 22")
        scan_id = service.answer(1)["result"]["structuredContent"]["scan_id"]
        eventually(lambda: process_of(tmp_path), "nmap to run")
        assert service.process.stdin is not None
        service.process.stdin.close()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
    assert process_of(tmp_path) is None
    with wire(env) as service:
        service.call(1, "scan_result", scan_id=scan_id)
        found = service.answer(1)["result"]["structuredContent"]
    assert (found["state"], len(found["hosts"])) == ("interrupted", 1)
