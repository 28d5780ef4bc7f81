"""Which ports are open as far as scans have seen: kept up to date by each scan, asked by port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..nmap._coverage import coverage_of
from ..nmap._host import Address, Host
from ._rows import moment, text
from ._targets import address_set, span_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from datetime import datetime

    from ..nmap import Report

__all__ = ["OpenPort", "Sight", "note_open_ports", "open_ports"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPort:
    """A port that was open when a scan looked at it last: the scan, when that ended, and what answered."""

    address: str
    protocol: str
    port: int
    scan_id: str
    seen: datetime
    hostname: str | None = None
    service: str | None = None
    product: str | None = None
    version: str | None = None


class Sight:
    """What one scan says of single ports.

    >>> from tracefuse.tools.nmap import Report
    >>> from tracefuse.tools.nmap._host import Port
    >>> host = Host("up", (Address("10.0.0.7"),), ports=(Port("tcp", 22, "open"), Port("tcp", 80, "closed")))
    >>> sight = Sight(Report(hosts=(host,), arguments="nmap 10.0.0.7"))
    >>> [sight.ends("10.0.0.7", "tcp", port) for port in (22, 80)]
    [False, True]
    """

    def __init__(self, report: Report) -> None:
        self._coverage = coverage_of(report)
        self._hosts = {host.address: host for host in report.hosts}
        self._open = {(host.address, port.protocol, port.number) for host in report.hosts for port in host.open_ports}

    def ends(self, address: str, protocol: str, port: int) -> bool:
        """Whether the scan looked there and found the port not open."""
        if (address, protocol, port) in self._open:
            return False
        host = self._hosts.get(address)
        if host is None:
            looked = self._coverage.covers_host(Host("unknown", (Address(address),)))
            return looked and self._coverage.covers_port(protocol, port)
        return not host.timed_out and (not host.is_up or self._coverage.covers_port(protocol, port))


def note_open_ports(connection: sqlite3.Connection, number: int, scan_id: str, seen: int, report: Report) -> None:
    """Bring the table up to what the scan `number`, which ended at `seen`, has found."""
    sight = Sight(report)
    known = connection.execute(
        "SELECT DISTINCT address, protocol, port FROM open_ports JOIN targets"
        " ON targets.number = ? AND place BETWEEN low AND high",
        (number,),
    ).fetchall()
    connection.executemany(
        "DELETE FROM open_ports WHERE address = ? AND protocol = ? AND port = ?",
        [place for place in known if sight.ends(*place)],
    )
    connection.executemany(
        "REPLACE INTO open_ports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _rows(report, scan_id, seen)
    )


def _rows(report: Report, scan_id: str, seen: int) -> Iterator[tuple[object, ...]]:
    for host in report.hosts:
        place = span_of(address_set(host.address)).low
        for port in host.open_ports:
            service = port.service
            what = (service.name, service.product, service.version) if service else (None, None, None)
            texts = (text(value) for value in (host.name, *what))
            yield host.address, port.protocol, port.number, place, scan_id, seen, *texts


def open_ports(connection: sqlite3.Connection, protocol: str, port: int, since: int) -> tuple[OpenPort, ...]:
    """The rows of one port that were seen since then, in the order of their addresses."""
    rows = connection.execute(
        "SELECT address, scan_id, seen, hostname, service, product, version FROM open_ports"
        " WHERE port = ? AND protocol = ? AND seen >= ? ORDER BY place",
        (port, protocol, since),
    ).fetchall()
    return tuple(
        OpenPort(
            address=address,
            protocol=protocol,
            port=port,
            scan_id=scan_id,
            seen=moment(seen),
            hostname=hostname,
            service=service,
            product=product,
            version=version,
        )
        for address, scan_id, seen, hostname, service, product, version in rows
    )
