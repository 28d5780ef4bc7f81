"""nmap's XML to events while it is being written: any chunking, constant memory.

How it is fast: one expat parser checks every byte and tells, by its end tags, where a record (a port,
a host, a phase, ...) is complete. The bytes of a port that was seen before, byte for byte, stand for
the same value, and most ports of a network were. Everything else goes on to a second parser that
builds elements, which become values and which are dropped at once. Nothing is decided
by looking at bytes that expat did not accept first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn
from xml.parsers import expat

from ._convert_port import port as read_port
from ._elements import ElementStream, expat_parser
from ._intake import PORTION, Intake
from ._limits import Limits
from ._parse_errors import EntityRefusedError, LimitExceededError, MalformedXmlError, NotNmapError, ParseError
from ._ports_seen import PortsSeen
from ._scan_log import ScanLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from ._host import Port
    from ._report import Report
    from ._scan_events import ScanEvent

__all__ = ["EventParser"]

_ROOT: Final = "nmaprun"
_RECORDS: Final = frozenset(
    {
        *("scaninfo", "verbose", "debugging", "target", "taskbegin", "taskprogress", "taskend", "hosthint", "host"),
        *("prescript", "postscript", "output", "runstats"),
    }
)
"""The children of the root that are understood."""
_TAG: Final = re.compile(rb"""<[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>""")
_PORT_TAG_SIZE: Final = len(b"</port>")
_NOT_PLAIN: Final = re.compile(rb"<[!?]")
_MEANT: Final = {
    "bytes": "bytes in all",
    "record": "bytes in one port, host or other element",
    "elements": "elements in one port, host or other element",
    "ports": "ports of one host",
    "hosts": "hosts",
}


class EventParser:
    """Turns nmap's XML, in chunks of any size, into events. Keeps no host.

    An error is raised after the events that came before it: at once when there are none, else by
    the next call. A document that just ends is no error: `close` returns a report that says so.

    >>> parser = EventParser()
    >>> parser.feed(b'<nmaprun scanner="nmap" version="7.93"><host><status state="up"/><addr')
    [ScanStarted(scanner='nmap', version='7.93', arguments=None, at=None)]
    >>> [event.host.address for event in parser.feed(b'ess addr="10.0.0.7" addrtype="ipv4"/></host>')]
    ['10.0.0.7']
    >>> parser.close().incomplete_reason
    'truncated'
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._intake = Intake()
        self._log = ScanLog()
        self._known = PortsSeen()
        self._seen = self._known.whole.get
        self._error: ParseError | None = None
        self._size = 0
        self._window = b""  # what was parsed and belongs to no finished record yet
        self._base = 0  # where the window begins in the document
        self._cut = 0  # where the last finished record ends in the window
        self._ports: list[Port] = []  # of the host that is being read
        self._in_ports = False  # the last finished record is a port of that host
        self._closed = False
        self._open(None)

    def _open(self, encoding: str | None) -> None:
        self._elements = ElementStream(encoding)
        self._checker = checker = expat_parser(encoding)
        checker.StartElementHandler = self._root_begun
        checker.EndElementHandler = self._on_end()
        checker.EntityDeclHandler = _refuse_declaration
        checker.SkippedEntityHandler = _refuse_use

    def feed(self, data: bytes) -> list[ScanEvent]:
        """Take the next bytes and return what they completed.

        Raises:
            ParseError: the document is refused; every later call raises the same.
        """
        if self._error is not None:
            raise self._error
        try:
            for start in range(0, len(data), PORTION):
                self._admit(data[start : start + PORTION])
        except ParseError as error:
            self._error = error
        return self._delivered()

    def flush(self) -> list[ScanEvent]:
        """Return what the bytes complete that were held back inside something huge. Call it before `close`.

        Raises:
            ParseError: as `feed` does.
        """
        if self._error is not None:
            raise self._error
        try:
            self._parse(self._intake.rest())
        except ParseError as error:
            self._error = error
        return self._delivered()

    def close(self, reason: str | None = None) -> Report:
        """Return the report, without hosts and phases: those were events.

        `reason` says why the scan was stopped, in one word such as `timeout`; it is used when the
        document is not complete, and then nothing is raised.

        Raises:
            ParseError: no reason is given, and the document was refused or has not even a root element.
        """
        if reason is None and self._error is not None:
            raise self._error
        if reason is None and not self._log.started:
            raise NotNmapError("there is no <nmaprun> in the output: nmap did not run, or this is not its XML")
        return self._log.report(ended=self._closed and self._error is None, reason=reason)

    def _delivered(self) -> list[ScanEvent]:
        events = self._log.drain()
        if self._error is not None and not events:
            raise self._error
        return events

    def _admit(self, portion: bytes) -> None:
        limits = self._limits
        self._size += len(portion)
        if self._size > limits.bytes:
            raise _beyond("bytes", limits.bytes)
        self._parse(self._intake.feed(portion, len(self._window)))
        self._check_ports()
        if len(self._window) + self._intake.held > limits.record:
            raise _beyond("record", limits.record)
        if len(self._window) > PORTION:
            self._check_piece(self._window)

    def _parse(self, data: bytes) -> None:
        if not data:
            return
        if self._intake.encoding is not None and not self._base and not self._window:
            self._open(self._intake.encoding)
        self._window += data
        try:
            self._checker.Parse(data, False)
        except expat.ExpatError as error:
            raise MalformedXmlError(expat.ErrorString(error.code), error.lineno, error.offset) from error
        except MalformedXmlError as error:
            line, column = self._checker.CurrentLineNumber, self._checker.CurrentColumnNumber
            raise MalformedXmlError(error.message, line, column) from error
        except ParseError:
            raise
        except (LookupError, ValueError) as error:
            raise MalformedXmlError(f"the encoding is not supported: {error}") from error
        finally:
            self._window = self._window[self._cut :]
            self._base += self._cut
            self._cut = 0

    def _root_begun(self, name: str, attributes: dict[str, str]) -> None:
        if name != _ROOT:
            raise NotNmapError(f"the root element is <{name[:64]}>, that of nmap's XML is <{_ROOT}>", name[:64])
        self._log.begin(attributes)
        self._checker.StartElementHandler = None

    def _on_end(self) -> Callable[[str], None]:
        actions = dict.fromkeys(_RECORDS, self._record_ended)
        actions |= {"port": self._port_ended, "ports": self._ports_ended, _ROOT: self._root_ended}
        find = actions.get

        def ended(name: str) -> None:
            action = find(name)
            if action is not None:
                action()

        return ended

    def _port_ended(self) -> None:
        window, at = self._window, self._checker.CurrentByteIndex - self._base
        end = at + _PORT_TAG_SIZE if window.startswith(b"</port>", at) else _tag_end(window, at)
        raw = window[self._cut : end]
        self._cut = end
        port = self._seen(raw) if self._in_ports else None
        if port is None:
            port = self._new_port(raw)
        if port is not None:
            self._ports.append(port)

    def _ports_ended(self) -> None:
        self._in_ports = False

    def _piece(self) -> bytes:
        """Cut off what came since the last record, up to the end of the tag that expat is at."""
        end = _tag_end(self._window, self._checker.CurrentByteIndex - self._base)
        piece = self._window[self._cut : end]
        self._cut = end
        return piece

    def _new_port(self, raw: bytes) -> Port | None:
        begins = raw.rfind(b"<port ")
        if not self._in_ports and begins > 0 and not _NOT_PLAIN.search(raw):
            self._pass_on(raw[:begins])
            raw = raw[begins:]
            ports = self._ports_element()
            self._in_ports = ports is not None and self._elements.is_open(ports)
        return self._known.port(raw, self._read_port) if self._in_ports else self._read_port(raw)

    def _read_port(self, raw: bytes) -> Port | None:
        self._pass_on(raw)
        ports = self._ports_element()
        element = None if ports is None else self._elements.completed_in(ports)
        self._in_ports = element is not None
        if ports is None or element is None:
            return None
        port = read_port(element)
        del ports[-1]
        return port

    def _ports_element(self) -> Element | None:
        """Return the ports of the host that is being read, if that is where we are."""
        host = _last(self._elements.root, "host")
        return None if host is None else _last(host, "ports")

    def _record_ended(self) -> None:
        self._pass_on(self._piece())
        self._in_ports = False
        root = self._elements.root
        record = self._elements.completed_in(root)
        if record is None:
            return
        self._check_ports()
        self._log.record(record, tuple(self._ports))
        self._ports.clear()
        if self._log.hosts > self._limits.hosts:
            raise _beyond("hosts", self._limits.hosts)
        self._log.note_unknown(root, _RECORDS)
        root.clear()

    def _root_ended(self) -> None:
        self._pass_on(self._piece())
        self._log.note_unknown(self._elements.root, _RECORDS)
        self._closed = True
        self._checker.EndElementHandler = _refuse_more

    def _pass_on(self, raw: bytes) -> None:
        self._check_piece(raw)
        self._elements.feed(raw)

    def _check_piece(self, raw: bytes) -> None:
        limits = self._limits
        if len(raw) > limits.record:
            raise _beyond("record", limits.record)
        if raw.count(b"<") > 2 * limits.elements:  # a tag to begin with and one to end
            raise _beyond("elements", limits.elements)

    def _check_ports(self) -> None:
        if len(self._ports) > self._limits.ports:
            raise _beyond("ports", self._limits.ports)


def _tag_end(window: bytes, at: int) -> int:
    tag = _TAG.match(window, at)
    return tag.end() if tag else len(window)  # expat has accepted the tag, so it is there


def _last(parent: Element, tag: str) -> Element | None:
    return parent[-1] if len(parent) and parent[-1].tag == tag else None


def _beyond(limit: str, maximum: int) -> LimitExceededError:
    return LimitExceededError(
        f"the document exceeds the limit of {maximum:,} {_MEANT[limit]}; if it is to be trusted, "
        f"raise it, as in Limits({limit}={2 * maximum})",
        limit,
        maximum,
    )


def _refuse_declaration(name: str, *_: object) -> NoReturn:
    raise EntityRefusedError(f"the document declares the entity {name[:64]!r}, which nmap never does", name[:64])


def _refuse_more(name: str) -> NoReturn:
    raise MalformedXmlError(f"<{name[:64]}> goes on after a <{_ROOT}> inside of it")


def _refuse_use(name: str, *_: object) -> NoReturn:
    raise EntityRefusedError(f"the document uses the undeclared entity {name[:64]!r}", name[:64])
