"""The whole application over an nmap that writes what it is told: everything is real but the process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracefuse.resilience import Pipeline
from tracefuse.telemetry import ScanInstruments
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import App, Places, QueueLimits, Runner, Settings, build
from tracefuse.tools._tool import Installation
from tracefuse.tools.nmap._observer import NmapObserver
from tracefuse.tools.testing import FakeProcess, FakeSpawn

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["host", "report", "scripted_app"]


def host(address: str, *ports: int) -> bytes:
    """A host that is up, with these TCP ports open."""
    listed = "".join(
        f'<port protocol="tcp" portid="{port}"><state state="open" reason="syn-ack" reason_ttl="0"/></port>'
        for port in ports
    )
    return (
        f'<host starttime="1760000000" endtime="1760000001"><status state="up" reason="echo-reply" reason_ttl="0"/>'
        f'<address addr="{address}" addrtype="ipv4"/><ports>{listed}</ports></host>\n'
    ).encode()


def report(*hosts: bytes, ports: str = "1-1000", args: str = "nmap -p 1-1000 10.0.0.7", whole: bool = True) -> bytes:
    """nmap's XML with these hosts; without its end when it is not `whole`."""
    count = len(ports.split(","))
    head = (
        '<?xml version="1.0"?>\n<!DOCTYPE nmaprun>\n'
        f'<nmaprun scanner="nmap" args="{args}" start="1760000000" version="7.93" xmloutputversion="1.05">\n'
        f'<scaninfo type="connect" protocol="tcp" numservices="{count}" services="{ports}"/>\n'
        '<taskbegin task="Connect Scan" time="1760000000"/>\n'
    )
    tail = (
        '<taskend task="Connect Scan" time="1760000001"/>\n'
        f'<runstats><finished time="1760000002" elapsed="2.00" exit="success"/>'
        f'<hosts up="{len(hosts)}" down="0" total="{len(hosts)}"/></runstats></nmaprun>\n'
    )
    return head.encode() + b"".join(hosts) + (tail.encode() if whole else b"")


def scripted_app(
    folder: Path,
    memory: InMemoryTelemetry,
    outcomes: Iterable[FakeProcess | OSError],
    limits: QueueLimits | None = None,
) -> App:
    """An application whose nmap is one process of `outcomes` after the other."""
    instrumentation = memory.telemetry.instrumentation
    app = build(Settings.model_construct(cache_dir=folder / "cache"), instrumentation=instrumentation)

    async def locate() -> Installation:
        return Installation("/usr/bin/nmap", (7, 93))

    runner = Runner(
        app.tool,
        Pipeline("nmap", breaker=app.breaker, instrumentation=instrumentation),
        locate=locate,
        observe=partial(NmapObserver, instrumentation, ScanInstruments(instrumentation)),
        workdir=folder / "runs",
        places=Places(limits),
        instrumentation=instrumentation,
        spawn=FakeSpawn(outcomes),
    )
    app.engine = replace(app.engine, runner=runner)
    return app
