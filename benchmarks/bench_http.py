"""What the HTTP face costs over bare Starlette, over real sockets, in the same process and run.

    python benchmarks/bench_http.py [ROUNDS]

One child process serves both: the service with all that it does for a request (limits, host and origin
checks, span, metrics, request id), and a Starlette application that answers the same bytes, for /metrics
after the same work. Contestants take turns, request by request, on one connection each. Of several rounds
the best median counts, because what else runs on the machine only makes it worse; the p99 is over all.
Requests per second come from 16 connections. Leaves with 1 when a goal is missed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tracefuse.tools import NmapSettings, ServeSettings, Settings
from tracefuse.tools.config._settings import LoggingSettings
from tracefuse.tools.http._http import http_app
from tracefuse.tools.http._server import Server, server_config
from tracefuse.tools.nmap.testing import ONE_HOST
from tracefuse.tools.service._service import open_service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from tracefuse.tools.service._service import Service

RATIO = 1.5
REFUSED = 2.0
"""Milliseconds that a refused scan may take, at the median."""
ROUNDS = 10
CONNECTIONS = 16
JSON = "content-type: application/json\r\n"
NMAP = """#!/bin/sh
case "$*" in *--version*) echo "Nmap version 7.93 ( https://nmap.org )"; exit 0;; esac
while [ $# -gt 0 ]; do [ "$1" = -oX ] && out=$2; shift; done
cat "{report}" > "$out"
"""


def request(method: str, path: str, body: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n{JSON if body else ''}\r\n"
    return (head + body).encode()


REFUSE = request("POST", "/scans", '{"targets": ["8.8.8.8"]}')
SCAN = request("POST", "/scans", '{"targets": ["10.0.0.7"]}')


# The child: both servers in one event loop.


def bare(service: Service, answers: dict[str, bytes]) -> Starlette:
    """What one would write without any of this."""

    async def same(asked: Request) -> Response:
        await asked.body()
        return Response(answers[asked.url.path], media_type="application/json")

    async def metrics(asked: Request) -> Response:
        exposition = await asyncio.to_thread(service.telemetry.exposition, asked.headers.get("accept"))
        return Response(exposition.body, media_type="text/plain")

    paths = [Route(path, same, methods=["GET", "POST"]) for path in answers]
    return Starlette(routes=[Route("/metrics", metrics), *paths])


async def serve(folder: Path) -> None:
    (folder / "report.xml").write_bytes(ONE_HOST)
    nmap = folder / "nmap"
    nmap.write_text(NMAP.format(report=folder / "report.xml"), encoding="utf-8")
    nmap.chmod(0o755)
    settings = Settings(
        cache_dir=folder / "cache",
        state_dir=folder / "state",
        nmap=NmapSettings(path=str(nmap)),
        serve=ServeSettings(rate=1_000_000),
        logging=LoggingSettings(level="error"),
    )
    async with open_service(settings) as service:
        ours = socket.create_server(("127.0.0.1", 0), backlog=1024)
        serving = asyncio.create_task(Server(server_config(http_app(service), settings, grace=1)).serve([ours]))
        port = ours.getsockname()[1]
        scan_id = json.loads(await asked(port, SCAN))["scan_id"]
        answers = {path: await asked(port, request("GET", path)) for path in ("/health", f"/scans/{scan_id}/result")}
        answers["/scans"] = await asked(port, REFUSE)
        app = bare(service, answers)
        plain = uvicorn.Server(
            uvicorn.Config(app, port=0, http="h11", log_config=None, access_log=False, lifespan="off")
        )
        beside = asyncio.create_task(plain.serve())
        while not plain.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        print(port, plain.servers[0].sockets[0].getsockname()[1], scan_id, flush=True)
        await asyncio.gather(serving, beside)


async def asked(port: int, raw: bytes) -> bytes:
    with connect(port) as connection:
        return await asyncio.to_thread(ask, connection, raw)


# The parent: the clients.


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: socket.socket, raw: bytes) -> bytes:
    """Send `raw`; the body of the answer."""
    connection.sendall(raw)
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65_536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return body


def in_turns(ports: Sequence[int], raw: bytes, rounds: int) -> list[list[float]]:
    """Milliseconds of each request, for each port."""
    times: list[list[float]] = [[] for _ in ports]
    connections = [connect(port) for port in ports]
    for index in range(rounds + rounds // 10):
        for connection, taken in zip(connections, times, strict=True):
            began = time.perf_counter()
            ask(connection, raw)
            if index >= rounds // 10:
                taken.append((time.perf_counter() - began) * 1e3)
    for connection in connections:
        connection.close()
    return times


def best(times: Sequence[float]) -> float:
    """The best median of ten rounds."""
    size = len(times) // ROUNDS
    return min(median(times[begin : begin + size]) for begin in range(0, size * ROUNDS, size))


async def per_second(port: int, raw: bytes, rounds: int) -> float:
    """Requests per second over several connections."""

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            for _ in range(rounds // CONNECTIONS):
                writer.write(raw)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return rounds / (time.perf_counter() - began)


def measure(ours: int, plain: int, scan_id: str, rounds: int) -> bool:
    """Print the table; whether all goals were met."""
    cases = {
        "/health": request("GET", "/health"),
        "/metrics": request("GET", "/metrics"),
        "cached result": request("GET", f"/scans/{scan_id}/result"),
        "refused scan": REFUSE,
    }
    met = True
    print(f"{'':14} {'median ms':>20} {'p99 ms':>20} {'requests/s':>20}  ratio of medians")
    for name, raw in cases.items():
        mine, theirs = in_turns([ours, plain], raw, rounds)
        rates = [asyncio.run(per_second(port, raw, rounds)) for port in (ours, plain)]
        medians, tails = (best(mine), best(theirs)), (quantiles(mine, n=100)[-1], quantiles(theirs, n=100)[-1])
        ratio = medians[0] / medians[1]
        goal = medians[0] < REFUSED if name == "refused scan" else ratio <= RATIO
        wanted = f"goal: under {REFUSED} ms" if name == "refused scan" else f"goal: at most {RATIO}"
        met &= goal
        print(
            f"{name:14} {medians[0]:9.2f} / {medians[1]:8.2f} {tails[0]:9.2f} / {tails[1]:8.2f}"
            f" {rates[0]:9.0f} / {rates[1]:8.0f}  {ratio:.2f} ({wanted}: {'met' if goal else 'MISSED'})"
        )
    return met


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "serve", folder]
        # The audit lines of refused scans are part of what they cost.
        with (
            (Path(folder) / "log").open("wb") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as child,
        ):
            try:
                assert child.stdout is not None
                ours, plain, scan_id = child.stdout.readline().split()
                met = measure(int(ours), int(plain), scan_id, rounds)
            finally:
                child.kill()
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
