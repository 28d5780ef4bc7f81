"""A report as CSV (RFC 4180): a row for each listed port, and one for each host without any."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from ._export_rules import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._host import Host, Port
    from ._report import Report

__all__ = ["CSV_COLUMNS", "report_to_csv"]

CSV_COLUMNS: Final = (
    *("address", "hostname", "mac", "host_state", "protocol", "port", "state", "reason"),
    *("service", "product", "version", "extra_info", "cpe"),
)
"""The columns, in order. New ones come at the end."""

_FORMULA: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for a formula at the beginning of a cell, the full-width forms among it."""


def report_to_csv(report: Report) -> str:
    """Return the report as CSV with a heading.

    What a scanned host says is not to be trusted: a text that a spreadsheet would run as a formula gets
    an apostrophe in front, and what cannot be seen is written by its code.

    >>> from tracefuse.tools.nmap._host import Address, Host, Port
    >>> from tracefuse.tools.nmap._report import Report
    >>> report = Report(hosts=(Host("up", (Address("10.0.0.7"),), ports=(Port("tcp", 80, "open"),)),))
    >>> report_to_csv(report).splitlines()[1]
    '10.0.0.7,,,up,tcp,80,open,,,,,,'
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(CSV_COLUMNS)
    for host in report.hosts:
        writer.writerows(_rows(host))
    return file.getvalue()


def _rows(host: Host) -> Iterator[list[str]]:
    known = (host.address, host.name, host.mac, host.state)
    for cells in map(_port, host.ports) if host.ports else ((),):
        row = [_cell(value) for value in (*known, *cells)]
        yield row + [""] * (len(CSV_COLUMNS) - len(row))


def _port(port: Port) -> tuple[str | None, ...]:
    number, service = str(port.number), port.service
    if service is None:
        return port.protocol, number, port.state, port.reason
    of_service = service.name, service.product, service.version, service.extra_info, " ".join(service.cpes)
    return port.protocol, number, port.state, port.reason, *of_service


def _cell(value: str | None) -> str:
    text = visible(value or "")
    return f"'{text}" if text.lstrip()[:1] in _FORMULA and text.strip() else text
