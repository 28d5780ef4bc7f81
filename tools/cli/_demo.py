"""`tracefuse demo`: the main job on real processes, loopback only, and what was recorded of it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tracefuse.resilience import CircuitBreakerOpenError
from tracefuse.telemetry import ScanInstruments
from tracefuse.telemetry.testing import InMemoryTelemetry

from .._app import build
from .._errors import ToolError
from .._exit import ExitCode
from .._local import spawn
from .._tool import Caller, CallerKind
from ..config._settings import BreakerSettings, PolicySettings, RetrySettings
from ..nmap import ScanRequest, diff
from ..nmap._installation import inspect_nmap
from ._demo_view import DemoView
from ._session import command_settings, flushed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .._app import App, CompletedScan
    from .._tool import Installation
    from ..config._settings import Settings

__all__ = ["run_demo"]

_FAILURES = 3
_RECOVERY = 2.0
_SSH = b"SSH-2.0-OpenSSH_9.6\r\n"
_SMTP = b"220 demo ESMTP Postfix\r\n"
_BROKEN = "/bin/false"


def run_demo(save_svg: str | None = None) -> ExitCode:
    """Run the demonstration, and save what was shown as an SVG picture when `save_svg` names a file."""
    settings = command_settings().model_copy(
        update={
            "policy": PolicySettings(),
            "retry": RetrySettings(attempts=2, wait=0.2),
            "breaker": BreakerSettings(failure_threshold=_FAILURES, recovery_timeout=_RECOVERY),
        }
    )
    memory = InMemoryTelemetry(os.environ)
    console = Console(record=save_svg is not None, width=110 if save_svg else None)
    try:
        with flushed(memory.telemetry, settings):
            asyncio.run(_acts(settings, memory, DemoView(console)))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if save_svg is not None:
        Path(save_svg).write_text(_picture(console), encoding="utf-8")
    return ExitCode.DONE


def _picture(console: Console) -> str:
    """What was shown, as SVG with the viewer's own monospace font instead of one from the network."""
    svg = console.export_svg(title="make demo")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")


class _Scanner:
    """Where nmap is; can be broken and mended, as a package upgrade gone wrong would."""

    def __init__(self, working: Installation) -> None:
        self._working = working
        self.broken = False

    async def __call__(self) -> Installation:
        return replace(self._working, path=_BROKEN) if self.broken else self._working


async def _acts(settings: Settings, memory: InMemoryTelemetry, view: DemoView) -> None:
    nmap = await inspect_nmap(settings.nmap.path, spawn=spawn)
    scanner = _Scanner(nmap)
    app = build(settings, instrumentation=memory.telemetry.instrumentation, locate=scanner)
    view.opening(nmap)
    await _two_scans(app, memory, view)
    recovered = await _break_and_recover(app, scanner, view)
    view.trace(next(node for node in memory.tree() if node.trace_id == recovered.trace_id))
    view.history(app.breaker.get_state_history(10))
    view.metrics(memory.telemetry.exposition().body.decode())
    view.closing()


async def _two_scans(app: App, memory: InMemoryTelemetry, view: DemoView) -> None:
    """Two services run; one closes and another opens between two scans."""
    async with AsyncExitStack() as stack:
        ssh = await stack.enter_async_context(_service(_SSH))
        async with _service(_SMTP) as smtp:
            later = _free_port()
            request = _request(ssh, smtp, later)
            view.act(f"Two services open on 127.0.0.1, ports {ssh} and {smtp}: a scan finds them")
            before = await _scan(app, request)
            view.report(before)
        view.act(f"Port {smtp} closes, port {later} opens: the next scan shows what changed")
        await stack.enter_async_context(_service(_SSH, later))
        after = await _scan(app, request)
        changes = diff(before.result, after.result).changes
        counted = ScanInstruments(memory.telemetry.instrumentation)
        for change in changes:
            counted.changes(app.tool.name, change.kind)
        view.changes(changes)


async def _break_and_recover(app: App, scanner: _Scanner, view: DemoView) -> CompletedScan:
    """The scanner fails until the circuit opens, calls are refused, and it recovers."""
    request = ScanRequest(target="127.0.0.1", extra_args="-Pn -F")
    view.act(f"The scanner breaks; each scan is tried twice, and after {_FAILURES} failures in a row the circuit opens")
    scanner.broken = True
    refused: CircuitBreakerOpenError | None = None
    while refused is None:
        try:
            await _scan(app, request)
        except CircuitBreakerOpenError as error:
            refused = error
        except ToolError as error:
            view.failure(error)
    view.refusal(refused)
    scanner.broken = False
    view.act(f"The scanner is mended; the circuit lets a probe through after {_RECOVERY:g} s")
    await asyncio.sleep(refused.retry_after or 0.0)
    recovered = await _scan(app, request)
    view.recovery(recovered, app.breaker.state.name)
    return recovered


async def _scan(app: App, request: ScanRequest) -> CompletedScan:
    return await app.scan(request, caller=Caller(CallerKind.CLI, "tracefuse demo"))


def _request(*ports: int) -> ScanRequest:
    return ScanRequest(target="127.0.0.1", extra_args=f"-Pn -sV -p {','.join(map(str, sorted(ports)))}")


@asynccontextmanager
async def _service(banner: bytes, port: int = 0) -> AsyncGenerator[int]:
    """A small TCP service on loopback that says who it is; gives its port, closes at the end of the block."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(banner)
            await writer.drain()
        except ConnectionError:
            # A port scan hangs up in the middle of the greeting; that is its right.
            return
        finally:
            writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
