"""For tests of code that scans: an application that needs no nmap, and what nmap has been seen to write.

>>> import asyncio
>>> from tracefuse.tools.nmap import ScanRequest
>>> app, runner = fake_app(ONE_HOST)
>>> asyncio.run(app.scan(ScanRequest("10.0.0.7", "-p 22"))).result.hosts[0].name, runner.requests[0].extra_args
('web.lab.internal', '-p 22')
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Final, cast

from .._app import App, build
from .._runner import Completed
from .._stream import EventStream
from ..config._settings import Settings
from ..history._recorder import NoRecord
from ._plan import plan
from ._reading import ReportParser
from ._script_db import ScriptDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._app import CompletedScan, ScanRecorder, ScanRunner, ScanStream
    from .._listeners import Listener
    from .._tool import Caller
    from ._request import ScanRequest
    from ._tool import Nmap

__all__ = ["CUT_SHORT", "FAILED", "NO_HOSTS", "ONE_HOST", "SCRIPTS", "FakeRunner", "fake_app"]

_HEAD = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<nmaprun scanner="nmap" args="nmap -v -oX - -sV -p 22,80 10.0.0.7-8" start="1760000000" version="7.93" \
xmloutputversion="1.05">
<scaninfo type="connect" protocol="tcp" numservices="2" services="22,80"/><verbose level="1"/><debugging level="0"/>
"""
_HOST = b"""<taskbegin task="Connect Scan" time="1760000000"/><taskend task="Connect Scan" time="1760000001"/>
<host starttime="1760000000" endtime="1760000001"><status state="up" reason="syn-ack" reason_ttl="0"/>
<address addr="10.0.0.7" addrtype="ipv4"/><hostnames><hostname name="web.lab.internal" type="PTR"/></hostnames>
<ports><port protocol="tcp" portid="22"><state state="open" reason="syn-ack" reason_ttl="0"/><service name="ssh" \
product="OpenSSH" version="9.2p1" extrainfo="protocol 2.0" method="probed" conf="10"/></port>
<port protocol="tcp" portid="80"><state state="closed" reason="conn-refused" reason_ttl="0"/><service name="http" \
method="table" conf="3"/></port></ports><times srtt="60" rttvar="5000" to="100000"/></host>
"""

ONE_HOST: Final = (
    _HEAD + _HOST + b'<runstats><finished time="1760000002" elapsed="2.00" exit="success"/>'
    b'<hosts up="1" down="1" total="2"/></runstats></nmaprun>\n'
)
"""A scan that found one host with one open port, and none at the other address."""

NO_HOSTS: Final = (
    _HEAD + b'<runstats><finished time="1760000002" elapsed="2.00" exit="success"/>'
    b'<hosts up="0" down="2" total="2"/></runstats></nmaprun>\n'
)
"""A scan that no host answered."""

FAILED: Final = (
    _HEAD + b'<runstats><finished time="1760000002" elapsed="0.10" exit="error" errormsg="out of luck"/>'
    b'<hosts up="0" down="0" total="0"/></runstats></nmaprun>\n'
)
"""A scan of which nmap itself says that it failed."""

CUT_SHORT: Final = _HEAD + _HOST + b'<host starttime="1760000001"><status state="up" rea'
"""A scan that was killed while it wrote its second host."""

SCRIPTS: Final = ScriptDatabase(
    'Entry { filename = "http-shellshock.nse", categories = { "exploit", "intrusive", "vuln", } }\n'
    'Entry { filename = "http-title.nse", categories = { "default", "discovery", "safe", } }\n'
    'Entry { filename = "ssh-hostkey.nse", categories = { "default", "discovery", "safe", } }\n'
    'Entry { filename = "ssh-brute.nse", categories = { "brute", "intrusive", } }\n'
)
"""A script database with two scripts that the default policy allows and two that it does not."""


class FakeRunner:
    """Plans every request as the real runner does; then gives the next outcome, or the last one again.

    An outcome is what nmap writes, or an exception that is raised. `requests` holds what was asked for,
    also what the policy refused.
    """

    def __init__(
        self, tool: Nmap, outcomes: Sequence[bytes | BaseException], names: Mapping[str, Sequence[str]]
    ) -> None:
        self._tool = tool
        self._outcomes = list(outcomes)
        self._last = outcomes[-1]
        self._names = names
        self.requests: list[ScanRequest] = []

    async def run(
        self,
        request: ScanRequest,
        *,
        caller: Caller | None = None,
        on_event: Callable[[Any], None] | None = None,
        scan_id: str | None = None,
        recorder: ScanRecorder | None = None,
    ) -> CompletedScan:
        """Answer `request`; see `Runner.run` for what it raises."""
        del caller
        recorder = recorder or NoRecord()
        self.requests.append(request)
        planned = plan(request, self._tool.policy, lambda name: self._names.get(name, ()), SCRIPTS, privileged=False)
        await recorder.planned(planned, None)
        outcome = self._outcomes.pop(0) if self._outcomes else self._last
        if isinstance(outcome, BaseException):
            raise outcome
        recorder.admitted()
        parser = ReportParser()
        for event in parser.feed(outcome):
            if on_event is not None:
                on_event(event)
        done = Completed(scan_id or "0" * 16, None, planned, parser.close(), 1, 0.0)
        await recorder.completed(done)
        return done

    def stream(
        self,
        request: ScanRequest,
        *,
        caller: Caller | None = None,
        buffer: int = 1000,
        scan_id: str | None = None,
        recorder: ScanRecorder | None = None,
    ) -> ScanStream:
        """Answer `request` while its events are taken."""

        async def start(listener: Listener[Any]) -> CompletedScan:
            on_event = listener.event
            return await self.run(request, caller=caller, on_event=on_event, scan_id=scan_id, recorder=recorder)

        return EventStream(start, lambda: None, size=buffer, supersedes=self._tool.supersedes)


def fake_app(
    *outcomes: bytes | BaseException,
    settings: Settings | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> tuple[App, FakeRunner]:
    """An application that starts no process, and the runner inside of it.

    Args:
        outcomes: what the scans come to, one after the other; by default `ONE_HOST`.
        settings: by default those without an environment, and a cache in the folder for temporary files.
        names: host names with their addresses, in place of a resolver.
    """
    app = build(settings or Settings.model_construct(cache_dir=Path(gettempdir()) / "tracefuse-testing"))
    runner = FakeRunner(app.tool, outcomes or (ONE_HOST,), names or {})
    app.engine = replace(app.engine, runner=cast("ScanRunner", runner))
    return app, runner
