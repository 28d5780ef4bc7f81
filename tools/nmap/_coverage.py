"""What a scan looked at, told from its report: targets from the arguments, ports from the scan information.

A host or port that a report does not list was looked at and not found, or never looked at. A diff
needs to know which.
"""

from __future__ import annotations

import shlex
from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from .._policy import Policy, PolicyViolation
from ._addresses import from_network, subtract
from ._targets import HostName, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ._addresses import AddressSet
    from ._host import Host
    from ._report import Report, ScanInfo

__all__ = ["Coverage", "PortRanges", "coverage_of"]

_WITH_VALUE: Final = frozenset(
    {
        *("b", "D", "e", "g", "i", "M", "m", "o", "p", "S", "T", "oN", "oG", "oX", "oS", "oA", "oM", "iL", "iR", "sI"),
        *("data", "data-length", "data-string", "datadir", "dns-servers", "exclude", "exclude-ports"),
        *("excludefile", "host-timeout", "initial-rtt-timeout", "ip-options", "max-hostgroup", "max-os-tries"),
        *("max-parallelism", "max-rate", "max-retries", "max-rtt-timeout", "max-scan-delay", "min-hostgroup"),
        *("min-parallelism", "min-rate", "min-rtt-timeout", "mtu", "nsock-engine", "port-ratio", "proxies", "proxy"),
        *("resume", "route-dst", "scan-delay", "scanflags", "script", "script-args", "script-args-file"),
        *("script-help", "script-timeout", "servicedb", "source-port", "spoof-mac", "stats-every", "stylesheet"),
        *("timing", "top-ports", "ttl", "version-intensity", "versiondb"),
    }
)
"""Options of nmap whose value may be the next argument."""
_ELSEWHERE: Final = frozenset({"i", "iL", "iR", "excludefile", "resume"})
"""Options after which the arguments do not tell the targets."""


@dataclass(frozen=True, slots=True)
class PortRanges:
    """Ports of one protocol, as ascending ranges.

    >>> ports = PortRanges.parse("22,80-82")
    >>> 81 in ports, 23 in ports
    (True, False)
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def parse(cls, services: str) -> PortRanges:
        """Read nmap's range list; what is no range is left out."""
        starts: list[int] = []
        ends: list[int] = []
        for start, end in sorted(_ranges(services)):
            if ends and start <= ends[-1] + 1:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        return cls(tuple(starts), tuple(ends))

    def __contains__(self, port: int) -> bool:
        index = bisect_right(self.starts, port) - 1
        return index >= 0 and port <= self.ends[index]


def _ranges(services: str) -> Iterator[tuple[int, int]]:
    for part in services.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal() and len(part) <= 11:
            yield int(first), int(last or first)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one scan looked at. `ports` and `targets_known` are None and False when the report does not tell."""

    complete: bool
    targets_known: bool
    ports: Mapping[str, PortRanges] | None
    addresses: frozenset[str] = frozenset()
    wide: tuple[AddressSet, ...] = ()
    names: frozenset[str] = frozenset()

    def covers_host(self, host: Host) -> bool:
        """Tell whether this scan would have found `host`. One that was cut proves nothing by silence."""
        if not self.complete:
            return False
        if not self.targets_known or host.address in self.addresses:
            return True
        if any(name.name.casefold() in self.names for name in host.hostnames):
            return True
        try:
            single = from_network(ip_network(ip_address(host.address)))
        except ValueError:
            return False
        return any(part.shared(single) for part in self.wide)

    def covers_port(self, protocol: str, number: int) -> bool:
        """Tell whether this scan looked at the port of the hosts that it found."""
        if self.ports is None:
            return True
        ranges = self.ports.get(protocol)
        return ranges is not None and number in ranges


def coverage_of(report: Report) -> Coverage:
    """Return what a scan looked at."""
    ports = _ports(report.scan_info)
    lists_ports = any(host.ports or host.extra_ports for host in report.hosts)
    expressions = None if report.arguments is None else _targets(_split(report.arguments))
    known = Coverage(report.complete, False, None if lists_ports and not ports else ports)
    return known if expressions is None else _with_targets(known, *expressions)


def _ports(infos: Iterable[ScanInfo]) -> dict[str, PortRanges]:
    services: dict[str, list[str]] = {}
    for info in infos:
        services.setdefault(info.protocol, []).append(info.services)
    return {protocol: PortRanges.parse(",".join(lists)) for protocol, lists in services.items()}


def _split(arguments: str) -> list[str]:
    try:
        return shlex.split(arguments)[1:]
    except ValueError:
        return arguments.split()[1:]


def _targets(arguments: list[str]) -> tuple[list[str], list[str]] | None:
    """Return the targets and the exclusions, None when they are elsewhere."""
    targets: list[str] = []
    excluded: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-") or argument == "-":
            targets.append(argument)
            continue
        name, _, value = argument.lstrip("-").partition("=")
        if name in _ELSEWHERE:
            return None
        if argument == "--":
            targets.extend(rest)
        elif name in _WITH_VALUE and not value:
            value = next(rest, "")
        if name == "exclude":
            excluded.extend(value.split(","))
    return targets, excluded


def _with_targets(coverage: Coverage, targets: list[str], excluded: list[str]) -> Coverage:
    try:
        parts, names = _sets(targets)
        without, _ = _sets(excluded)
    except PolicyViolation:
        return coverage
    left = subtract(parts, without) if without else parts
    singles = frozenset(str(part.first) for part in left if part.count == 1)
    wide = tuple(part for part in left if part.count > 1)
    return Coverage(coverage.complete, True, coverage.ports, singles, wide, names)


def _sets(expressions: list[str]) -> tuple[list[AddressSet], frozenset[str]]:
    parsed = [parse_target(expression, position, Policy()) for position, expression in enumerate(expressions)]
    names = frozenset(target.name.casefold() for target in parsed if isinstance(target, HostName))
    return [target for target in parsed if not isinstance(target, HostName)], names
