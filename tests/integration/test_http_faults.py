"""Load and bad clients, over real sockets: all are answered or hung up on, within limits, and none hurts another."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from support.cli import script
from support.heartbeat import BODY, JSON, answer, request, running, thousand
from support.mcp_service import failing_nmap, quick_nmap
from support.polling import eventually
from tracefuse.tools.nmap.testing import ONE_HOST

HELD = 0.25
"""Seconds for which nothing may hold up the event loop: what a blocking call would take. That it is less than 0.05 on a
machine with nothing else to do is measured by benchmarks/bench_load.py."""
MEMORY = 300 << 20
GOOD = """case "$*" in *--version*) echo "Nmap version 7.93 ( https://nmap.org )"; exit 0;; esac
while [ $# -gt 0 ]; do [ "$1" = -oX ] && out=$2; shift; done
"""


async def test_a_thousand_scans_at_once_are_all_answered(tmp_path: Path) -> None:
    service = await thousand(tmp_path / "thousand")
    assert service.said["held"] < HELD
    assert service.said["memory"] < MEMORY


async def test_a_client_that_floods_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(ONE_HOST)
    slow = script(tmp_path / "nmap", f'{GOOD}sleep 0.1; cat "{tmp_path}/one" > "$out"')
    variables = {"QUEUE_TOTAL": "2", "QUEUE_PER_TOOL": "2", "QUEUE_LENGTH": "1000", "SERVE_MAX_REQUESTS": "200"}
    with running(tmp_path, slow, **variables) as service:
        flood = [asyncio.create_task(service.ask(request("POST", "/scans", BODY))) for _ in range(300)]
        # Once the flooder is refused he has all that he can have.
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        status, _, _ = await service.ask(request("POST", "/scans", BODY), source="127.0.0.2")
        still_waiting = sum(not task.done() for task in flood)
        answers = Counter([(await task)[0] for task in flood])
    assert status == 200
    # 160 of his wait, of which two run at once: this one waited for a turn, not for them.
    assert still_waiting > 80
    assert answers[200] >= 160
    assert set(answers) <= {200, 503}


async def test_half_open_connections_are_hung_up_on(tmp_path: Path) -> None:
    with running(tmp_path, quick_nmap(tmp_path), SERVE_REQUEST_TIMEOUT="1") as service:
        begun = (b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ")
        streams = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(30 * len(begun))]
        for index, (_, writer) in enumerate(streams):
            writer.write(begun[index % len(begun)])
        service.healthy()
        async with asyncio.timeout(10):
            assert {await _rest(reader) for reader, _ in streams} == {b""}
        for _, writer in streams:
            writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_a_connection_that_goes_on_after_an_answer_is_timed_anew(tmp_path: Path) -> None:
    with running(tmp_path, quick_nmap(tmp_path), SERVE_REQUEST_TIMEOUT="1") as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        for _ in range(3):
            writer.write(request("GET", "/livez"))
            assert (await answer(reader))[0] == 200
        writer.write(b"GET /livez HTTP/1.1\r\n")
        async with asyncio.timeout(10):
            assert await _rest(reader) == b""
        writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, quick_nmap(tmp_path), SERVE_REQUEST_TIMEOUT="1") as service:
        half = request("POST", "/scans", BODY)[:-10]
        async with asyncio.timeout(10):
            status, _, body = await service.ask(half)
        assert (status, json.loads(body)["type"]) == (408, "urn:tracefuse:too_slow")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_hundred_megabytes_are_refused_without_being_kept(tmp_path: Path, declared: bool) -> None:
    with running(tmp_path, quick_nmap(tmp_path)) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        size = b"content-length: 104857600\r\n" if declared else b"transfer-encoding: chunked\r\n"
        writer.write(b"POST /scans HTTP/1.1\r\nhost: 127.0.0.1\r\n" + size + JSON + b"\r\n")
        piece = b" " * 65_536
        chunk = piece if declared else b"10000\r\n" + piece + b"\r\n"
        sending = asyncio.create_task(_send(writer, chunk, 1_600))
        async with asyncio.timeout(20):
            status, _, body = await answer(reader)
            await sending
        assert (status, json.loads(body)["type"]) == (413, "urn:tracefuse:body_too_large")
        writer.close()
        service.healthy()
    assert service.said["memory"] < MEMORY
    assert service.said["held"] < HELD


async def _send(writer: asyncio.StreamWriter, chunk: bytes, times: int) -> None:
    try:
        for _ in range(times):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        return


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (request("POST", "/scans", b"[" * 10_000 + b"]" * 10_000), 400),
        (request("POST", "/scans", b'{"targets": ["\xff\xfe"]}'), 400),
        (request("BREW", "/scans"), 405),
        (request("GET", "/%ff%fe"), 404),
        (request("GET", "/scans/%00"), 404),
        (b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * 1_000_000 + b"\r\n\r\n", 400),
        (b"POST /scans HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: nine\r\n\r\n", 400),
        (b"POST /scans HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nx", 400),
    ],
    ids=["deep", "utf-8", "method", "path", "null", "tls", "no host", "long header", "length", "smuggling"],
)
async def test_what_makes_no_sense_is_refused(tmp_path: Path, raw: bytes, expected: int) -> None:
    with running(tmp_path, quick_nmap(tmp_path), SERVE_REQUEST_TIMEOUT="2") as service:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(raw)
            head = await reader.readline()
            writer.close()
        assert int(head.split()[1]) == expected
        service.healthy()
    assert service.said["held"] < HELD


def big_report(hosts: int = 1_000, ports: int = 100) -> bytes:
    """A report that is megabytes long."""
    head, host, tail = ONE_HOST.partition(b"<host starttime")
    one, end = (host + tail).split(b"</host>", 1)
    port = b'<port protocol="tcp" portid="%d"><state state="open" reason="syn-ack" reason_ttl="0"/></port>'
    listed = b"<ports>" + b"".join(port % number for number in range(1, ports + 1)) + b"</ports>"
    many = b"".join(
        one.split(b"<ports>")[0].replace(b"10.0.0.7", b"10.0.%d.%d" % divmod(number, 256)) + listed + b"</host>"
        for number in range(hosts)
    )
    return head + many + end


async def test_readers_that_do_not_read_hold_nothing_for_ever(tmp_path: Path) -> None:
    with running(tmp_path, quick_nmap(tmp_path, big_report()), SERVE_REQUEST_TIMEOUT="1") as service:
        scan_id = service.scan().json()["scan_id"]
        _, _, result = await service.ask(request("GET", f"/scans/{scan_id}/result"))
        size = len(result)
        assert size > 5_000_000
        streams = [await asyncio.open_connection("127.0.0.1", service.port, limit=1_024) for _ in range(20)]
        for _, writer in streams:
            writer.write(request("GET", f"/scans/{scan_id}/result"))
        service.healthy()

        def served() -> bool:
            text = httpx.get(f"{service.url}/metrics").text
            return 'http_server_active_requests{http_request_method="GET",url_scheme="http"} 1.0' in text

        eventually(served, "the service to let go of them")
        for _, writer in streams:
            writer.transport.abort()
    assert service.said["memory"] < MEMORY + 20 * size
    assert service.said["held"] < HELD


@pytest.mark.parametrize("fault", ["missing", "failing", "hanging"])
def test_a_broken_nmap_opens_the_circuit_and_a_mended_one_closes_it(tmp_path: Path, fault: str) -> None:
    if fault == "failing":
        failing_nmap(tmp_path)
    elif fault == "hanging":
        script(tmp_path / "nmap", GOOD + "exec sleep 600")
    variables = {"BREAKER_FAILURE_THRESHOLD": "2", "BREAKER_RECOVERY_TIMEOUT": "2", "NMAP_TIMEOUT": "1"}
    with running(tmp_path, str(tmp_path / "nmap"), **variables) as service:
        assert [service.scan().status_code for _ in range(2)] == [502, 502]
        with httpx.Client(base_url=service.url) as client:
            took = []
            for _ in range(11):
                began = time.perf_counter()
                refused = client.post("/scans", content=BODY, headers={"content-type": "application/json"})
                took.append(time.perf_counter() - began)
                assert (refused.status_code, refused.json()["type"]) == (503, "urn:tracefuse:circuit_open")
                assert int(refused.headers["retry-after"]) >= 1
        assert sorted(took)[5] < 0.05
        quick_nmap(tmp_path)
        eventually(lambda: service.scan().status_code == 200, "the circuit to close")
    assert service.said["held"] < HELD


def test_endless_output_is_cut_and_the_service_goes_on(tmp_path: Path) -> None:
    endless = GOOD + f'cat "{tmp_path}/begin" > "$out"; while :; do echo "<!-- x -->"; done > "$out"'
    (tmp_path / "begin").write_bytes(ONE_HOST.partition(b"<host ")[0])
    with running(tmp_path, script(tmp_path / "nmap", endless), NMAP_OUTPUT_LIMIT="1000000") as service:
        cut = service.scan()
        assert (cut.status_code, cut.json()["error_type"]) == (502, "resource_exhausted")
        service.healthy()
    assert service.said["memory"] < MEMORY
