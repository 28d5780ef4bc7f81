"""`tracefuse serve --mcp stdio` as a child process: through the SDK's client, or line by line."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from support.cli import COMMAND

__all__ = ["META", "SERVE", "Wire", "over_stdio", "wire"]

SERVE = [*COMMAND, "serve", "--mcp", "stdio"]

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
"""What makes a request one of the current protocol revision."""


@asynccontextmanager
async def over_stdio(env: Mapping[str, str], mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    """The SDK's client, which starts the service itself."""
    server = StdioServerParameters(command=SERVE[0], args=SERVE[1:], env=dict(env))
    async with Client(stdio_client(server), mode=mode, **options) as client:
        yield client


@dataclass(frozen=True)
class Wire:
    """The service's standard input and output, by hand."""

    process: subprocess.Popen[bytes]

    def send(self, line: bytes | dict[str, Any]) -> None:
        """Write one line."""
        assert self.process.stdin is not None
        self.process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        self.process.stdin.flush()

    def receive(self, timeout: float = 30.0) -> dict[str, Any]:
        """The next line; it must be a message."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], timeout)
        assert readable, f"no answer within {timeout} s"
        message: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert message["jsonrpc"] == "2.0"
        return message

    def call(self, number: int, tool: str, **arguments: Any) -> None:
        """Ask for a tool, in the current protocol revision."""
        params = {"name": tool, "arguments": arguments, "_meta": META}
        self.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})

    def answer(self, number: int) -> dict[str, Any]:
        """The answer to the request `number`."""
        while True:
            message = self.receive()
            if message.get("id") == number:
                return message


@contextmanager
def wire(env: Mapping[str, str]) -> Iterator[Wire]:
    """The service with pipes of ours; killed on the way out if it still runs."""
    pipe = subprocess.PIPE
    with subprocess.Popen(SERVE, env=dict(env), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as process:
        try:
            yield Wire(process)
        finally:
            process.kill()
