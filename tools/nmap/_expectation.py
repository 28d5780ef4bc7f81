"""What a plan lets expect: which phases nmap will go through, how long each takes beside the others, in what groups.

The weights are rough seconds for one group of hosts on a local network, measured with nmap 7.93. Only
their proportions matter, and they are an estimate: a host that drops packets, or a service that does
not answer the version probes, makes its phase many times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._options import Group
from ._ports import PortList

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._arguments import ScanOption
    from ._request import ScanPlan

__all__ = [
    "DISCOVERY",
    "DNS",
    "OS",
    "PORT_SCAN",
    "SCRIPTS",
    "SERVICES",
    "TRACE",
    "UDP_SCAN",
    "Expectation",
    "Stage",
    "expect",
]

DISCOVERY: Final = "discovery"
DNS: Final = "names"
PORT_SCAN: Final = "ports"
UDP_SCAN: Final = "UDP ports"
SERVICES: Final = "services"
OS: Final = "OS"
TRACE: Final = "traceroute"
SCRIPTS: Final = "scripts"

_DEFAULT_PORTS: Final = 1000
_FAST_PORTS: Final = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase that is expected, and its weight."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """The course of a scan: `once` over all addresses, then `each` group of hosts that are up.

    `first_group` and `group` say how many hosts nmap takes at once, at first and later on.
    """

    addresses: int
    once: tuple[Stage, ...]
    each: tuple[Stage, ...]
    first_group: int
    group: int


def expect(plan: ScanPlan) -> Expectation:
    """What to expect of `plan`."""
    groups = {option.row.group for option in plan.options}
    names = {option.name for option in plan.options}
    ports = _port_count(plan.options)
    first, later = _group_sizes(plan.options, groups, ports)
    return Expectation(
        plan.address_count,
        tuple(_once(groups, names)),
        () if Group.NO_PORT_SCAN in groups else tuple(_each(plan, groups, names, ports)),
        first,
        later,
    )


def _once(groups: set[Group], names: set[str]) -> Iterable[Stage]:
    if Group.SKIP_DISCOVERY not in groups and "-sL" not in names:
        yield Stage(DISCOVERY, 2.0)
    if "-n" not in names:
        yield Stage(DNS, 0.5)


def _each(plan: ScanPlan, groups: set[Group], names: set[str], ports: int) -> Iterable[Stage]:
    everything = "-A" in names
    others = groups & {Group.TCP, Group.SCTP, Group.IP_PROTOCOL}
    if others or Group.UDP not in groups:
        yield Stage(PORT_SCAN, 0.5 + 1.5 * ports / _DEFAULT_PORTS)
    if Group.UDP in groups:
        # Closed UDP ports are told of about once a second.
        yield Stage(UDP_SCAN, 2.0 + 0.5 * ports)
    if everything or Group.VERSION in groups:
        yield Stage(SERVICES, 8.0)
    if everything or Group.OS in groups:
        yield Stage(OS, 3.0)
    if everything or "--traceroute" in names:
        yield Stage(TRACE, 1.0)
    if everything or plan.scripts is not None:
        yield Stage(SCRIPTS, 6.0)
    elif Group.VERSION in groups:
        yield Stage(SCRIPTS, 0.5)


def _port_count(options: Iterable[ScanOption]) -> int:
    for option in options:
        if option.row.group is not Group.PORTS:
            continue
        if isinstance(option.value, PortList):
            return sum(part.last - part.first + 1 for part in option.value.ranges)
        if isinstance(option.value, int):
            return option.value
        return _FAST_PORTS if option.name == "-F" else _DEFAULT_PORTS
    return _DEFAULT_PORTS


def _group_sizes(options: Iterable[ScanOption], groups: set[Group], ports: int) -> tuple[int, int]:
    """How many hosts nmap scans at once (`determineScanGroupSize` in nmap's targets.cc)."""
    values = {option.name: option.value for option in options}
    usual = 128 if Group.UDP in groups else max(1024 // max(ports, 1), 64)
    first = usual
    if ports > _DEFAULT_PORTS and Group.UDP not in groups:
        first = 8 if values.get("-T") == 4 else usual if values.get("-T") == 5 else 4
    low, high = values.get("--min-hostgroup"), values.get("--max-hostgroup")

    def boxed(size: int) -> int:
        return min(max(size, low if isinstance(low, int) else 1), high if isinstance(high, int) else 100_000)

    return boxed(first), boxed(usual)
