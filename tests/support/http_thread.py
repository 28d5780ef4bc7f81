"""A service in a thread of this process, over a real socket: for clients that block, such as a fuzzer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.mcp_service import settings_for
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import ServeSettings
from tracefuse.tools.http._http import http_app
from tracefuse.tools.http._server import Server, server_config
from tracefuse.tools.service._service import open_service

__all__ = ["serving_in_thread"]


@contextmanager
def serving_in_thread(
    folder: Path, nmap: str, memory: InMemoryTelemetry, serve: ServeSettings | None = None, **sections: Any
) -> Iterator[str]:
    """The URL of a service on `folder`; it has ended after the block."""
    settings = settings_for(folder, nmap, serve=serve or ServeSettings(rate=1_000_000), **sections)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    began = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        async with open_service(settings, telemetry=memory.telemetry) as service:
            server = Server(server_config(http_app(service), settings, grace=1))
            stop.append((asyncio.get_running_loop(), asking := asyncio.Event()))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            began.set()
            await asking.wait()
            service.stopping.set()
            server.should_exit = True
            await serving

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="service")
    thread.start()
    try:
        assert began.wait(20)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop, asking = stop[0]
        loop.call_soon_threadsafe(asking.set)
        thread.join(30)
        assert not thread.is_alive()
