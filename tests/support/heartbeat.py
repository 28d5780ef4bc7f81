"""A service in a process of its own that tells how its event loop fared, and what its clients send over raw sockets."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.cli import environment
from support.mcp_service import quick_nmap
from support.polling import eventually

PROGRAM = Path(__file__).parent / "heartbeat_service.py"
BODY = json.dumps({"targets": ["10.0.0.7"], "extra_args": "-p 22"}).encode()
JSON = b"content-type: application/json\r\n"


@dataclass
class Running:
    """A service in a process of its own."""

    url: str
    port: int
    said: dict[str, float] = field(default_factory=dict)
    """After the end: for how long the event loop was held up, and how much memory it took."""

    def scan(self, **fields: Any) -> httpx.Response:
        body = {"targets": ["10.0.0.7"], "extra_args": "-p 22", **fields}
        return httpx.post(f"{self.url}/scans", json=body, timeout=60)

    def healthy(self) -> None:
        """It answers somebody else at once."""
        assert httpx.get(f"{self.url}/livez", timeout=5).status_code == 200

    async def ask(self, raw: bytes, *, source: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
        """Send bytes from an address, and read one answer: status, headers, body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        with closing(writer):
            writer.write(raw)
            return await answer(reader)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One answer of HTTP."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


def request(method: str, path: str, body: bytes = b"", headers: bytes = JSON) -> bytes:
    """A request in bytes."""
    line = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n".encode()
    return line + headers + b"\r\n" + body


@contextmanager
def running(folder: Path, nmap: str, **variables: str) -> Iterator[Running]:
    """The service on `folder`; the block's end asks it to stop, and it must stop cleanly."""
    chosen = {"SERVE_RATE": "1000000", "RETRY_ATTEMPTS": "1", "LOGGING_LEVEL": "error", "NMAP_PATH": nmap, **variables}
    env = environment(folder / "cache", **{f"TRACEFUSE_{name}": value for name, value in chosen.items()})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, str(PROGRAM)], env=env, text=True, **pipes) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            service = Running(url, httpx.URL(url).port or 0)
            eventually(lambda: httpx.get(f"{url}/livez").is_success, "the service to answer")
            yield service
            process.terminate()
            service.said.update(json.loads(process.communicate(timeout=30)[0]))
            assert process.returncode == 0
        finally:
            process.kill()


async def thousand(folder: Path) -> Running:
    """A thousand clients that send at the same moment, where two scans run at once and fifty may wait."""
    folder.mkdir()
    variables = {"QUEUE_TOTAL": "2", "QUEUE_PER_TOOL": "2", "QUEUE_LENGTH": "50"}
    with running(folder, quick_nmap(folder), **variables) as service:
        answers = await asyncio.gather(*(service.ask(request("POST", "/scans", BODY)) for _ in range(1_000)))
        service.healthy()
    statuses = Counter(status for status, _, _ in answers)
    assert set(statuses) <= {200, 429, 503}
    assert statuses[200] >= 50
    for status, headers, body in answers:
        assert json.loads(body)
        assert status == 200 or int(headers["retry-after"]) > 0
    return service
