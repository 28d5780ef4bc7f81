"""Reports for a person at a terminal: tables and lines, made with rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ..nmap import Host, Port, Report
    from ..nmap._host import ExtraPorts

__all__ = ["report_table", "summary"]

_STATE_STYLE = {"open": "bold green", "closed": "dim", "filtered": "yellow", "open|filtered": "yellow"}


def report_table(report: Report) -> Table:
    """A row per listed port, and a row for each host without one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("host", "port", "state", "service", "version"):
        table.add_column(column, overflow="fold")
    for host in report.hosts:
        if host.is_up:
            _add_host(table, host)
    return table


def _add_host(table: Table, host: Host) -> None:
    label = escape(f"{host.address} ({host.name})" if host.name else host.address)
    for port in host.ports:
        table.add_row(label, *_port_cells(port))
        label = ""
    rest = ", ".join(_extra(extra) for extra in host.extra_ports)
    if rest or not host.ports:
        table.add_row(label, "", f"[dim]{escape(rest or 'up')}[/]", "", "")


def _port_cells(port: Port) -> tuple[str, str, str, str]:
    style = _STATE_STYLE.get(port.state, "yellow")
    service = port.service
    name = escape(service.name) if service else ""
    return (
        f"{port.number}/{port.protocol}",
        f"[{style}]{escape(port.state)}[/]",
        name,
        escape(service.banner) if service else "",
    )


def _extra(extra: ExtraPorts) -> str:
    return f"{extra.count} more {extra.state}"


def summary(report: Report) -> str:
    """One line: hosts, open ports, and whether this is all.

    >>> from tracefuse.tools.nmap import Report
    >>> summary(Report())
    'no host up, no open port'
    """
    up = sum(host.is_up for host in report.hosts)
    ports = sum(len(host.open_ports) for host in report.hosts)
    line = f"{_count(up, 'host')} up, {_count(ports, 'open port')}"
    return line if report.complete else f"{line}; incomplete: {report.incomplete_reason}"


def _count(number: int, noun: str) -> str:
    match number:
        case 0:
            return f"no {noun}"
        case 1:
            return f"1 {noun}"
        case _:
            return f"{number:,} {noun}s"
