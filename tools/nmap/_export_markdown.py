"""A report as a Markdown table (GitHub's dialect), for tickets and chats."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ._export_rules import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._host import ExtraPorts, Host
    from ._report import Report

__all__ = ["report_to_markdown"]

_COLUMNS: Final = ("Host", "Port", "State", "Service", "Version")
_MARKUP: Final = re.compile(r"[\\`*_\[\]<>|~#!&]")


def report_to_markdown(report: Report) -> str:
    """Return the hosts that are up as a table, with one line before it that says what was found.

    What hosts say is escaped: no link, picture, HTML or other cell comes of it.

    >>> from tracefuse.tools.nmap._host import Address, Host, Port, Service
    >>> from tracefuse.tools.nmap._report import Report
    >>> ports = (Port("tcp", 80, "open", service=Service("http", product="a|b")),)
    >>> print(report_to_markdown(Report(hosts=(Host("up", (Address("10.0.0.7"),), ports=ports),))))
    1 host up, 1 open port.
    <BLANKLINE>
    | Host | Port | State | Service | Version |
    | --- | --- | --- | --- | --- |
    | 10.0.0.7 | 80/tcp | open | http | a\\|b |
    <BLANKLINE>
    """
    rows = [row for host in report.hosts if host.is_up for row in _rows(host)]
    table = (_row(_COLUMNS), _row(["---"] * len(_COLUMNS)), *(_row(map(_escaped, row)) for row in rows))
    return "\n".join((_summary(report), *(("", *table) if rows else ()), ""))


def _summary(report: Report) -> str:
    ports = sum(1 for _ in report.open_ports())
    found = f"{_count(report.hosts_up, 'host')} up, {_count(ports, 'open port')}"
    return f"{found}." if report.complete else f"{found}. Incomplete: {_escaped(report.incomplete_reason or 'cut')}."


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _rows(host: Host) -> Iterator[tuple[str, ...]]:
    label = f"{host.address} ({host.name})" if host.name else host.address
    for port in host.ports:
        service = port.service
        yield label, str(port), port.state, service.name if service else "", service.banner if service else ""
    rest = ", ".join(map(_more, host.extra_ports))
    if rest or not host.ports:
        yield label, "", rest or "up", "", ""


def _more(extra: ExtraPorts) -> str:
    return f"{extra.count} more {extra.state}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", visible(text))
