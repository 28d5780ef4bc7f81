"""Tells one run of nmap in telemetry: a span per phase, a log record per host, counts at the end."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from tracefuse.telemetry import Attribute, Event, Span, log_event

from ._phases import phase_name
from ._scan_events import HostFinished, PhaseBegan, PhaseEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.util.types import AttributeValue

    from tracefuse.telemetry import Instrumentation, ScanInstruments

    from ._host import Host
    from ._report import Report
    from ._tool import LiveEvent

__all__ = ["NmapObserver"]

_SLOWEST = 10
"""Hosts on the scan's span; each of the others is a log record only, because a span keeps 128 events."""

_TOOL = "nmap"
_NANOSECONDS = 1_000_000_000


class NmapObserver:
    """Observes one run; made anew for each attempt.

    Args:
        instrumentation: where to tell it.
        instruments: the counters of hosts and ports.
        redact_targets: leave addresses out of the host events.
        now: the wall clock in nanoseconds since the epoch, as spans have it.
    """

    def __init__(
        self,
        instrumentation: Instrumentation,
        instruments: ScanInstruments,
        *,
        redact_targets: bool = False,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._instrumentation = instrumentation
        self._instruments = instruments
        self._redact_targets = redact_targets
        self._now = now
        self._phase: trace.Span | None = None
        self._slowest: list[tuple[float, int, int, dict[str, AttributeValue]]] = []
        # Breaks ties in the heap, because attributes cannot be compared.
        self._order = itertools.count()

    def event(self, event: LiveEvent) -> None:
        """Begin or end a phase's span, or tell of a host."""
        match event:
            case PhaseBegan(task, at):
                self._begin(phase_name(task), at)
            case PhaseEnded(_, at, info):
                self._end(at, info)
            case HostFinished(host):
                self._tell_host(host)
            case _:
                return

    def ended(self) -> None:
        """Close the phase that nmap was in when its output stopped."""
        if self._phase is not None:
            self._phase.set_status(Status(StatusCode.ERROR, "cut short"))
            self._phase.end()
            self._phase = None

    def result(self, report: Report) -> dict[str, AttributeValue]:
        """Count hosts and ports by state, put the slowest hosts on the current span, return its attributes."""
        hosts, ports = _host_states(report), _port_states(report.hosts)
        for state, count in hosts.items():
            self._instruments.hosts(_TOOL, state, count)
        for state, count in ports.items():
            self._instruments.ports(_TOOL, state, count)
        span = trace.get_current_span()
        for _, at, _, attributes in sorted(self._slowest, key=itemgetter(1)):
            span.add_event(Event.SCAN_HOST, attributes, timestamp=at)
        summary: dict[str, AttributeValue] = {
            Attribute.HOSTS_COUNT: sum(hosts.values()),
            Attribute.HOSTS_UP: hosts["up"],
            Attribute.PORTS_OPEN: ports["open"],
            Attribute.COMPLETE: report.complete,
        }
        if report.incomplete_reason is not None:
            summary[Attribute.INCOMPLETE_REASON] = report.incomplete_reason
        return summary

    def _tell_host(self, host: Host) -> None:
        attributes = self._host_attributes(host)
        log_event(self._instrumentation.logger, Event.SCAN_HOST, attributes)
        heapq.heappush(self._slowest, (_duration(host), self._now(), next(self._order), attributes))
        if len(self._slowest) > _SLOWEST:
            heapq.heappop(self._slowest)

    def _begin(self, name: str, at: float) -> None:
        self.ended()
        self._phase = self._instrumentation.tracer.start_span(
            f"{Span.PHASE} {name}", attributes={Attribute.PHASE_NAME: name}, start_time=self._instant(at)
        )

    def _end(self, at: float, info: str | None) -> None:
        if self._phase is None:
            return
        if info is not None:
            self._phase.set_attribute(Attribute.PHASE_INFO, info)
        self._phase.end(self._instant(at))
        self._phase = None

    def _instant(self, at: float) -> int:
        """nmap's time, to the precision of ours.

        nmap writes whole seconds. What arrives within the second it names happened just now; what
        arrives later was held up on the way, and nmap's second is the better account.
        """
        now, second = self._now(), int(at) * _NANOSECONDS
        return now if second <= now < second + _NANOSECONDS else second

    def _host_attributes(self, host: Host) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            Attribute.STATE: host.state,
            Attribute.DURATION: _duration(host),
            Attribute.OPEN_PORTS: len(host.open_ports),
        }
        if not self._redact_targets:
            attributes[Attribute.ADDRESS] = host.address
        return attributes


def _duration(host: Host) -> float:
    return 0.0 if host.started is None or host.ended is None else host.ended - host.started


def _host_states(report: Report) -> Counter[str]:
    """From nmap's own totals where it got to write them: hosts that are down are not always listed."""
    if report.stats is None:
        return Counter(host.state for host in report.hosts)
    return Counter(up=report.hosts_up, down=report.hosts_down)


def _port_states(hosts: Iterable[Host]) -> Counter[str]:
    """By state; ports that nmap summed up count as well."""
    states: Counter[str] = Counter()
    for host in hosts:
        states.update(port.state for port in host.ports)
        for extra in host.extra_ports:
            states[extra.state] += extra.count
    return states
