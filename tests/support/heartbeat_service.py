"""A service that feels its own pulse: `python heartbeat_service.py`, with settings from the environment.

It prints its URL and, after SIGTERM, for how long the event loop was held up at worst, in seconds: how much
its thread worked between two beats (`held`), and how much time passed (`late`). Of the latter, time in
which the thread was ready and the machine ran something else is left out, as Linux tells it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from support.memory import peak_kib
from support.polling import until
from tracefuse.tools.config._settings import load_settings
from tracefuse.tools.http._http import http_app
from tracefuse.tools.http._server import Server, server_config
from tracefuse.tools.service._service import open_service

BEAT = 0.005


def waited_for_cpu() -> float:
    """Seconds in which this thread was ready and did not run."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return 0.0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Pulse:
    """The longest time between two beats."""

    def __init__(self) -> None:
        self.held = 0.0
        self.late = 0.0

    async def beat(self) -> None:
        while True:
            worked, began, unscheduled = time.thread_time(), time.perf_counter(), waited_for_cpu()
            await asyncio.sleep(BEAT)
            late = time.perf_counter() - began - BEAT - (waited_for_cpu() - unscheduled)
            self.held = max(self.held, time.thread_time() - worked)
            self.late = max(self.late, late)


async def main() -> None:
    settings = load_settings()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    async with open_service(settings) as service:
        server = Server(server_config(http_app(service), settings, grace=2))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        pulse = Pulse()
        beating = asyncio.create_task(pulse.beat())
        say(f"http://127.0.0.1:{listener.getsockname()[1]}")
        await asked.wait()
        beating.cancel()
        service.stopping.set()
        server.should_exit = True
        await service.jobs.close(0)
        await serving
    say(json.dumps({"held": pulse.held, "late": pulse.late, "memory": peak_kib() * 1024}))


if __name__ == "__main__":
    asyncio.run(main())
