"""nmap's output as the flat result that users of the earlier tool know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._parse_errors import ParseError
from ._reading import parse_nmap_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._report import Report

__all__ = ["ScanResult", "scan_result"]


@dataclass(slots=True)
class ScanResult:
    """What was found, flat: hosts as counts, a dictionary for each listed port.

    `ports_found` holds every listed port and `services` the open ones, each with `host`, `port`, `protocol`,
    `state`, `service` and `version`. `parse_nmap_output` gives everything else.
    """

    raw_output: str
    hosts_up: int = 0
    hosts_down: int = 0
    ports_found: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    services: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def scan_result(output: str) -> ScanResult:
    """Read XML, grepable or normal output; what cannot be read gives a result without hosts.

    >>> result = scan_result("Nmap scan report for 10.0.0.7\\nPORT   STATE SERVICE\\n80/tcp open  http\\n")
    >>> result.services[0]["port"], result.services[0]["service"]
    (80, 'http')
    """
    try:
        report = parse_nmap_output(output)
    except ParseError as error:
        if error.partial is None:
            return ScanResult(output)
        report = error.partial
    ports = list(_ports(report))
    services = [port for port in ports if port["state"] == "open"]
    return ScanResult(output, report.hosts_up, report.hosts_down, ports, services)


def _ports(report: Report) -> Iterator[dict[str, Any]]:
    for host in report.hosts:
        for port in host.ports:
            yield {
                "host": host.address,
                "port": port.number,
                "protocol": port.protocol,
                "state": port.state,
                "service": port.service.name if port.service else "",
                "version": port.service.banner if port.service else "",
            }
