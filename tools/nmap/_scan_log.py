"""The records of one scan in their order: to events, and to all of the report that is not hosts or phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import _convert as convert
from ._convert_port import scripts
from ._report import Report
from ._scalars import epoch, integer, real, text
from ._scan_events import HostFinished, HostHinted, PhaseBegan, PhaseEnded, Progress, ScanFinished, ScanStarted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from ._host import Port, Script
    from ._report import RunStats, ScanInfo, Target
    from ._scan_events import ScanEvent

__all__ = ["ScanLog"]

_MOST_NOTED: Final = 32
_MOST_TARGETS: Final = 10_000


class ScanLog:
    """Collects events for who asks next, and the little that a report needs beside them."""

    def __init__(self) -> None:
        self.hosts = 0
        self._events: list[ScanEvent] = []
        self._head: Mapping[str, str] | None = None
        self._scan_info: list[ScanInfo] = []
        self._targets: list[Target] = []
        self._pre_scripts: tuple[Script, ...] = ()
        self._post_scripts: tuple[Script, ...] = ()
        self._verbose: int | None = None
        self._debugging: int | None = None
        self._output: str | None = None
        self._stats: RunStats | None = None
        self._unknown: dict[str, None] = {}
        self._phase: str | None = None
        self._latest = 0.0

    @property
    def started(self) -> bool:
        """True when the root element was seen."""
        return self._head is not None

    def drain(self) -> list[ScanEvent]:
        """Return the events since the last time."""
        events, self._events = self._events, []
        return events

    def begin(self, attributes: Mapping[str, str]) -> None:
        """Take the attributes of the root element."""
        self._head = {name: text(attributes[name]) for name in _HEAD if name in attributes}
        at = self._at(attributes.get("start"))
        scanner, version, arguments = (self._head.get(name) for name in ("scanner", "version", "args"))
        self._events.append(ScanStarted(scanner or "nmap", version, arguments, at or None))

    def record(self, element: Element, ports: tuple[Port, ...]) -> None:
        """Take a finished child of the root element; `ports` are those of a host."""
        match element.tag:
            case "host":
                self.hosts += 1
                self.note_unknown(element, convert.HOST_PARTS)
                self._events.append(HostFinished(convert.host(element, ports)))
            case "hosthint":
                self._events.append(HostHinted(convert.host(element)))
            case "taskprogress":
                self._progress(element)
            case "taskbegin":
                self._begin_phase(element)
            case "taskend":
                self._end_phase(element)
            case "runstats":
                self._finish(element)
            case _:
                self._describe(element)

    def note_unknown(self, parent: Element, known: frozenset[str]) -> None:
        """Remember the names of children that are not understood, a few of them."""
        tags = {child.tag for child in parent}
        if tags <= known:
            return
        for tag in sorted(tags - known):
            if len(self._unknown) < _MOST_NOTED:
                self._unknown[tag[:64]] = None

    def report(self, *, ended: bool, reason: str | None) -> Report:
        """Return the report; `ended` when the document is there to its last tag, `reason` when somebody stopped it."""
        head, stats = self._head or {}, self._stats
        failed = stats is not None and stats.exit == "error"
        complete = ended and stats is not None and not failed
        return Report(
            head.get("scanner") or "nmap",
            head.get("version"),
            head.get("args"),
            epoch(head.get("start")),
            scan_info=tuple(self._scan_info),
            targets=tuple(self._targets),
            pre_scripts=self._pre_scripts,
            post_scripts=self._post_scripts,
            stats=stats,
            complete=complete,
            incomplete_reason=None if complete else reason or ("error" if failed else "truncated"),
            xml_version=head.get("xmloutputversion"),
            profile=head.get("profile_name"),
            verbose=self._verbose,
            debugging=self._debugging,
            output=self._output,
            unknown_elements=tuple(self._unknown),
        )

    def _at(self, value: str | None) -> float:
        self._latest = epoch(value) or self._latest
        return self._latest

    def _progress(self, element: Element) -> None:
        get = element.get
        at, percent = self._at(get("time")), real(get("percent")) or 0.0
        remaining, etc = real(get("remaining")), epoch(get("etc"))
        self._events.append(Progress(text(get("task", "")), at, min(max(percent, 0.0), 100.0), remaining, etc))

    def _begin_phase(self, element: Element) -> None:
        at = self._at(element.get("time"))
        self._end_open_phase(at)
        self._phase = text(element.get("task", ""))
        self._events.append(PhaseBegan(self._phase, at))

    def _end_phase(self, element: Element) -> None:
        at, task, info = self._at(element.get("time")), text(element.get("task", "")), element.get("extrainfo")
        if task != self._phase:
            self._end_open_phase(at)
            self._events.append(PhaseBegan(task, at))
        self._phase = None
        self._events.append(PhaseEnded(task, at, None if info is None else text(info)))

    def _end_open_phase(self, at: float) -> None:
        if self._phase is not None:
            self._events.append(PhaseEnded(self._phase, at))
            self._phase = None

    def _finish(self, element: Element) -> None:
        self._stats = stats = convert.run_stats(element)
        self._end_open_phase(stats.finished or self._latest)
        self._events.append(ScanFinished(stats))

    def _describe(self, element: Element) -> None:
        match element.tag:
            case "scaninfo":
                self._scan_info.append(convert.scan_info(element))
            case "target" if len(self._targets) < _MOST_TARGETS:
                self._targets.append(convert.target(element))
            case "verbose":
                self._verbose = integer(element.get("level"))
            case "debugging":
                self._debugging = integer(element.get("level"))
            case "prescript":
                self._pre_scripts += scripts(element)
            case "postscript":
                self._post_scripts += scripts(element)
            case "output":
                self._output = text(element.text or "")
            case _:
                pass


_HEAD: Final = ("scanner", "args", "start", "version", "xmloutputversion", "profile_name")
