"""From a scan's document to what a model reads: a summary first, one page of hosts, and a short text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..nmap import Report, report_from_dict
from ..nmap._export_rules import visible
from ._output import ErrorOutput, HostOutput, PortOutput, ScanOutput, ScriptOutput
from ._paging import START, hosts_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..nmap import Port, Script
    from ._output import State
    from ._paging import HostRows, Place

__all__ = ["DEFAULT_ROWS", "one_line", "report_of", "scan_output", "scan_text"]

DEFAULT_ROWS: Final = 50
_BANNER: Final = 160
_SCRIPT: Final = 500
_TEXT: Final = 6_000
"""Characters of the text; what is beyond is in the structured result."""


def report_of(document: Mapping[str, Any] | None) -> Report:
    """The report inside of a scan's document; an empty, incomplete one when there is none.

    >>> report_of(None).complete
    False
    """
    data = (document or {}).get("report")
    return report_from_dict(data) if data else Report(complete=False, incomplete_reason="nothing was found before")


def scan_output(
    scan_id: str,
    state: State,
    document: Mapping[str, Any] | None,
    *,
    place: Place = START,
    rows: int = DEFAULT_ROWS,
    everything: bool = False,
    only: str | None = None,
    error: ErrorOutput | None = None,
) -> ScanOutput:
    """A scan with the page of its hosts that begins at `place`."""
    report = report_of(document)
    page, following = hosts_page(report, place, rows, everything=everything, only=only)
    data = document or {}
    plan: Mapping[str, Any] = data.get("plan") or {}
    duration, trace_id = data.get("duration"), data.get("trace_id")
    return ScanOutput(
        scan_id=scan_id,
        state=state,
        complete=report.complete and state == "completed",
        incomplete_reason=report.incomplete_reason,
        summary=_summary(state, report, duration, error),
        hosts_up=report.hosts_up,
        hosts_total=report.hosts_total,
        ports_open=sum(1 for _ in report.open_ports()),
        duration=duration,
        command=" ".join(map(str, plan["argv"])) if "argv" in plan else None,
        notes=[str(note) for note in plan.get("notes", ())],
        hosts=[_host(one) for one in page],
        next_cursor=None if following is None else str(following),
        trace_id=trace_id,
        error=error,
    )


def _summary(state: State, report: Report, duration: float | None, error: ErrorOutput | None) -> str:
    open_ports = sum(1 for _ in report.open_ports())
    found = f"{_count(report.hosts_up, 'host')} up of {report.hosts_total}, {_count(open_ports, 'open port')}"
    took = "" if duration is None else f" in {duration:.1f} s"
    if state == "completed":
        return f"Completed{took}: {found}."
    reason = f" ({error.message})" if error else ""
    return f"{state.capitalize()}{took}{reason}; found before that: {found}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _host(rows: HostRows) -> HostOutput:
    host = rows.host
    match = host.os.matches[0].name if host.os and host.os.matches else None
    return HostOutput(
        address=host.address,
        state=host.state,
        name=host.name and one_line(host.name),
        mac=host.mac,
        os=match and one_line(match),
        ports=[_port(port) for port in rows.ports],
        not_listed=dict(rows.hidden),
        continued=rows.continued,
        scripts=[] if rows.continued else _scripts(host.scripts),
        timed_out=host.timed_out,
    )


def _port(port: Port) -> PortOutput:
    service = port.service
    return PortOutput(
        port=port.number,
        protocol=port.protocol,
        state=port.state,
        service=one_line(service.name) if service else None,
        banner=(one_line(service.banner) or None) if service else None,
        scripts=_scripts(port.scripts),
    )


def _scripts(scripts: Iterable[Script]) -> list[ScriptOutput]:
    return [ScriptOutput(id=script.id, output=_clipped(_lines(script.output), _SCRIPT)) for script in scripts]


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.strip().splitlines()))


def one_line(text: str) -> str:
    """A text from outside, in one visible line of bounded length."""
    return _clipped(visible(text), _BANNER)


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def scan_text(scan: ScanOutput) -> str:
    """The scan for a model that reads text only: the summary, a line for each host, and how to get more.

    >>> print(scan_text(scan_output("5f0c", "cancelled", None)))
    Scan 5f0c. Cancelled; found before that: 0 hosts up of 0, 0 open ports.
    """
    lines = [f"Scan {scan.scan_id}. {scan.summary}"]
    room = _TEXT
    for host in scan.hosts:
        line = _host_line(host)
        room -= len(line)
        if room < 0:
            lines.append("(more hosts in the structured result)")
            break
        lines.append(line)
    lines.extend(f"Note: {note}" for note in scan.notes)
    if scan.next_cursor is not None:
        lines.append(f'More: scan_result(scan_id="{scan.scan_id}", cursor="{scan.next_cursor}")')
    return "\n".join(lines)


def _host_line(host: HostOutput) -> str:
    name = f"{host.address} {host.name}" if host.name else host.address
    ports = ", ".join(_port_text(port) for port in host.ports)
    others = ", ".join(f"{count} {state}" for state, count in host.not_listed.items())
    shown = ports or ("no open port" if host.state == "up" else "")
    parts = [host.state if host.state != "up" else "", shown, f"not listed: {others}" if others else ""]
    return f"{name}: {'; '.join(part for part in parts if part)}"


def _port_text(port: PortOutput) -> str:
    state = "" if port.state == "open" else f" {port.state}"
    what = " ".join(part for part in (port.service, port.banner) if part)
    return f"{port.port}/{port.protocol}{state}{f' {what}' if what else ''}"
