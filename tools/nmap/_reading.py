"""nmap's output to a whole report or to hosts one by one, from bytes, text, files and pipes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from ._grepable import looks_grepable, parse_grepable
from ._intake import PORTION
from ._normal import looks_normal, parse_normal
from ._parse_errors import NotNmapError, ParseError
from ._parser import EventParser
from ._report import Phase
from ._scan_events import HostFinished, PhaseBegan, PhaseEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ._host import Host
    from ._limits import Limits
    from ._report import Report
    from ._scan_events import ScanEvent

__all__ = ["ReportParser", "iter_hosts", "parse_nmap_output", "parse_xml"]

_MOST_PHASES: Final = 100_000
_DECLARED: Final = re.compile(r"""\A(\s*<\?xml[^>]{0,100}?)\sencoding\s*=\s*["'][^"'>]{0,40}["']""")


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ReportParser:
    """An `EventParser` that keeps what it saw, for a report at the end.

    >>> parser = ReportParser()
    >>> events = parser.feed(b'<nmaprun scanner="nmap"><host><status state="up"/></host><host>')
    >>> report = parser.close(reason="timeout")
    >>> report.complete, report.incomplete_reason, len(report.hosts)
    (False, 'timeout', 1)
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._parser = EventParser(limits)
        self._hosts: list[Host] = []
        self._phases: list[Phase] = []

    def feed(self, data: bytes) -> list[ScanEvent]:
        """Take the next bytes and return what they completed.

        Raises:
            ParseError: the document is refused; events that came before it have been returned.
        """
        return self._kept(self._parser.feed(data))

    def flush(self) -> list[ScanEvent]:
        """Return what is left, as `EventParser.flush` does; `close` does the same and keeps it for the report."""
        return self._kept(self._parser.flush())

    def close(self, reason: str | None = None) -> Report:
        """Return the report; `EventParser.close` says how `reason` is used and what is raised."""
        try:
            self.flush()
            return self._with_kept(self._parser.close(reason))
        except ParseError as error:
            partial = self._with_kept(self._parser.close(reason or "refused"))
            if reason is not None:
                return partial
            error.partial = partial
            raise

    def _with_kept(self, report: Report) -> Report:
        return replace(report, hosts=tuple(self._hosts), phases=tuple(self._phases))

    def _kept(self, events: list[ScanEvent]) -> list[ScanEvent]:
        for event in events:
            match event:
                case HostFinished(host):
                    self._hosts.append(host)
                case PhaseBegan(task, at) if len(self._phases) < _MOST_PHASES:
                    self._phases.append(Phase(task, at))
                case PhaseEnded(task, at, info) if self._phases and self._phases[-1].ended is None:
                    self._phases[-1] = Phase(task, self._phases[-1].began, at, info)
                case _:
                    pass
        return events


def parse_xml(data: bytes, limits: Limits | None = None) -> Report:
    """Read one document of nmap's XML.

    A document that just ends, as after a kill, gives a report with `complete=False`.

    Raises:
        ParseError: it is no such document; what was read before is the error's `partial`.
    """
    parser = ReportParser(limits)
    try:
        parser.feed(data)
    except ParseError as error:
        error.partial = parser.close("refused")
        raise
    return parser.close()


def parse_nmap_output(output: str | bytes, limits: Limits | None = None) -> Report:
    """Read what nmap wrote: XML, grepable or normal output, whichever it is.

    Prefer XML: the others leave much out, and cannot say that they were cut in the middle of a host.

    Raises:
        ParseError: it is nothing that nmap writes, or refused; what was read before is the error's `partial`.

    >>> report = parse_nmap_output("Nmap scan report for 10.0.0.7\\nHost is up.\\n")
    >>> [host.address for host in report.hosts]
    ['10.0.0.7']
    """
    data = _encoded(output) if isinstance(output, str) else output
    if data[:64].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith(b"<") or not data.strip():
        return parse_xml(data, limits)
    text = data.decode("utf-8", "replace")
    if looks_grepable(text):
        return parse_grepable(text)
    if looks_normal(text):
        return parse_normal(text)
    raise NotNmapError("this is neither nmap's XML (<nmaprun ...>) nor its grepable or normal output")


def iter_hosts(
    source: str | bytes | Path | _Readable | Iterable[bytes], limits: Limits | None = None
) -> Iterator[Host]:
    """Iterate over the hosts of nmap's XML as they become complete, in constant memory.

    `source` is the XML itself (text or bytes), a `Path`, a binary file or pipe, or chunks of bytes.
    Hosts before a cut or an error are all delivered.

    Raises:
        ParseError: the document is refused, after the hosts that came before.

    >>> [host.address for host in iter_hosts('<nmaprun><host><address addr="10.0.0.7"/></host></nmaprun>')]
    ['10.0.0.7']
    """
    parser = EventParser(limits)
    for chunk in _chunks(source):
        yield from _hosts_of(parser.feed(chunk))
    yield from _hosts_of(parser.flush())
    parser.close()


def _encoded(text: str) -> bytes:
    """Encode a text, without the encoding that its declaration names: that was undone when it became text."""
    return _DECLARED.sub(r"\1", text, count=1).encode("utf-8", "surrogatepass")


def _hosts_of(events: list[ScanEvent]) -> Iterator[Host]:
    return (event.host for event in events if isinstance(event, HostFinished))


def _chunks(source: str | bytes | Path | _Readable | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(source, str):
        yield _encoded(source)
    elif isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            yield from _portions(file)
    elif isinstance(source, _Readable):
        yield from _portions(source)
    else:
        yield from source


def _portions(file: _Readable) -> Iterator[bytes]:
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    while portion := read(PORTION):
        yield portion
