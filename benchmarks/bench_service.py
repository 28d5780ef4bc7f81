"""What the service costs while nobody asks it for anything: time to come up, memory, processor time.

    python benchmarks/bench_service.py [ROUNDS]

From the start of the process to the first good answer of /readyz; then resident memory and processor time
over some idle seconds, with every check, alert rule and schedule on. A bare Starlette under uvicorn, started
in the same way, is the floor. Leaves with 1 when a goal is missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_GOAL = 1.5
MEMORY_GOAL = 120.0
CPU_GOAL = 0.005
IDLE_SECONDS = 10.0

BARE = """
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def ready(request):
    return PlainTextResponse("ok")

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("serves on http://127.0.0.1:%d" % self.servers[0].sockets[0].getsockname()[1], flush=True)

Server(uvicorn.Config(Starlette(routes=[Route("/readyz", ready)]), port=0, log_config=None)).run()
"""


@dataclass(frozen=True)
class Cost:
    ready: float
    memory: float
    cpu: float


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def running(command: list[str], environ: dict[str, str]) -> Iterator[tuple[int, float]]:
    """The process and the seconds until it was ready."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        try:
            assert child.stdout is not None
            url = child.stdout.readline().split()[-1]
            while not answers(f"{url}/readyz"):
                if time.perf_counter() - began > 30:
                    raise TimeoutError(f"{command} is not ready after 30 s")
                time.sleep(0.005)
            yield child.pid, time.perf_counter() - began
        finally:
            child.terminate()


def memory(pid: int) -> float:
    """Resident megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor(pid: int) -> float:
    """Seconds of processor time, those of children that have ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def cost(command: list[str], environ: dict[str, str], idle: float) -> Cost:
    with running(command, environ) as (pid, ready):
        time.sleep(1.0)
        before = processor(pid)
        time.sleep(idle)
        return Cost(ready, memory(pid), (processor(pid) - before) / idle)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TRACEFUSE_"))}
        environ |= {"TRACEFUSE_CONFIG": "", "TRACEFUSE_STATE_DIR": folder, "TRACEFUSE_CACHE_DIR": folder}
        ours = [sys.executable, "-m", "tracefuse.tools", "serve", "--port", "0"]
        contestants = {"bare": [sys.executable, "-c", BARE], "tracefuse": ours, "with MCP": [*ours, "--mcp", "http"]}
        found: dict[str, list[Cost]] = {name: [] for name in contestants}
        for number in range(rounds):
            for name, command in contestants.items():
                found[name].append(cost(command, environ, IDLE_SECONDS if number == 0 else 0.0001))
    good = True
    for name, costs in found.items():
        ready, resident, cpu = median(one.ready for one in costs), max(one.memory for one in costs), costs[0].cpu
        met = name == "bare" or (ready < READY_GOAL and resident < MEMORY_GOAL and cpu < CPU_GOAL)
        good = good and met
        print(
            f"{name:10} ready after {ready:5.2f} s, {resident:6.1f} MB, idle {cpu * 100:5.2f} % of a core"
            + ("" if met else f"   goal: {READY_GOAL} s, {MEMORY_GOAL:g} MB, {CPU_GOAL * 100:g} %")
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
