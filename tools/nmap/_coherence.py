"""Whether the options of a scan fit together: ports to scan types, lower bounds to upper bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._policy import Rule
from ._arguments import violation
from ._options import Group
from ._ports import PortList, Protocol
from ._values import Seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._arguments import ScanOption

__all__ = ["check_bounds", "check_family", "check_ports"]

_SCANNED: Final = {
    Group.TCP: Protocol.TCP,
    Group.UDP: Protocol.UDP,
    Group.SCTP: Protocol.SCTP,
    Group.IP_PROTOCOL: Protocol.IP,
}
_ADD: Final = {Protocol.TCP: "-sT", Protocol.UDP: "-sU", Protocol.SCTP: "-sY", Protocol.IP: "-sO"}
_PAIRS: Final = (
    ("--min-rate", "--max-rate"),
    ("--min-parallelism", "--max-parallelism"),
    ("--min-hostgroup", "--max-hostgroup"),
    ("--min-rtt-timeout", "--max-rtt-timeout"),
    ("--min-rtt-timeout", "--initial-rtt-timeout"),
    ("--initial-rtt-timeout", "--max-rtt-timeout"),
    ("--scan-delay", "--max-scan-delay"),
)


def check_ports(options: Sequence[ScanOption]) -> None:
    """Refuse a port list for a protocol that is not scanned, and a scan that its port list leaves nothing.

    nmap only warns about both, and quietly scans less than was asked for.

    Raises:
        PolicyViolation: rule ports.
    """
    lists = [(option, option.value) for option in options if isinstance(option.value, PortList)]
    lists = [(option, ports) for option, ports in lists if option.row.group is not Group.DISCOVERY]
    if not lists:
        return
    scanned = {_SCANNED[option.row.group] for option in options if option.row.group in _SCANNED} or {Protocol.TCP}
    for option, ports in lists:
        for protocol in ports.protocols - scanned - {Protocol.ANY}:
            problem = f"{protocol}: is for {protocol.name} ports, and no {protocol.name} scan is asked for"
            raise violation(Rule.PORTS, option.argument, option.position, problem, f"add {_ADD[protocol]}")
        if Protocol.IP in scanned and ports.highest > 255:
            problem = "with -sO these are protocol numbers, and the highest is 255"
            raise violation(Rule.PORTS, option.argument, option.position, problem, "write 1-255")
        left = scanned - ports.protocols
        if option.row.group is Group.PORTS and Protocol.ANY not in ports.protocols and left:
            problem = f"it leaves the {min(left).name} scan without ports"
            raise violation(Rule.PORTS, option.argument, option.position, problem, "name ports for every scan type")


def check_bounds(options: Sequence[ScanOption]) -> None:
    """Refuse a lower bound above the upper one.

    Raises:
        PolicyViolation: rule option.conflict.
    """
    values = {option.name: option for option in options if isinstance(option.value, int | float | Seconds)}
    for low, high in _PAIRS:
        if low in values and high in values and _size(values[low]) > _size(values[high]):
            problem = f"{values[low].argument} is above {values[high].argument}"
            position = values[high].position
            raise violation(
                Rule.OPTION_CONFLICT, values[high].argument, position, problem, "give the smaller one first"
            )


def check_family(options: Sequence[ScanOption], family: int) -> None:
    """Refuse options that only IPv4 has, for IPv6 targets.

    Raises:
        PolicyViolation: rule option.conflict.
    """
    for option in options:
        if family == 6 and option.row.ipv4_only:
            problem = f"{option.name} ({option.row.meaning}) is for IPv4 only, and the targets are IPv6"
            raise violation(Rule.OPTION_CONFLICT, option.argument, option.position, problem, "use -PE")


def _size(option: ScanOption) -> float:
    value = option.value
    if isinstance(value, Seconds):
        return value.milliseconds
    return value if isinstance(value, int | float) else 0
