"""What a policy lets addresses reach: its allowed networks, without those that are never scanned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TYPE_CHECKING, Final

from .._policy import NEVER_SCANNED, Network
from ._addresses import AddressSet, V6Set, from_network, subtract

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["example_target", "outside"]

_NEVER: Final[tuple[tuple[AddressSet, str], ...]] = (
    *((from_network(network), str(network)) for network in NEVER_SCANNED),
    (V6Set(2, 0xFFFF_FFFF), "IPv4-compatible ::/96"),
)


def outside(part: AddressSet, networks: tuple[Network, ...]) -> str:
    """Why `part` must not be scanned, or "" when all of it may be. Arithmetic only, whatever its size.

    >>> from ipaddress import ip_network
    >>> outside(from_network(ip_network("10.0.0.0/7")), (ip_network("10.0.0.0/8"),))
    'it reaches outside the allowed networks 10.0.0.0/8'
    """
    reach = _reach(networks)
    for never, name in _NEVER:
        if part.shared(never):
            return f"it reaches {name}, which is never scanned"
    if sum(part.shared(allowed) for allowed in reach.allowed) < part.count:
        return f"it reaches outside the allowed networks {reach.names}"
    return ""


def example_target(networks: tuple[Network, ...]) -> str:
    """An address that `outside` has nothing against.

    >>> from ipaddress import ip_network
    >>> example_target((ip_network("10.0.0.0/8"),))
    '10.0.0.1'
    """
    return _reach(networks).example


@dataclass(frozen=True, slots=True)
class _Reach:
    allowed: tuple[AddressSet, ...]
    names: str
    example: str


@lru_cache(maxsize=64)
def _reach(networks: tuple[Network, ...]) -> _Reach:
    disjoint = (
        *collapse_addresses(network for network in networks if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in networks if isinstance(network, IPv6Network)),
    )
    allowed = tuple(map(from_network, disjoint))
    names = ", ".join(str(network) for network in networks[:8]) + (", ..." if len(networks) > 8 else "")
    return _Reach(allowed, names, _example(networks, allowed))


def _example(networks: tuple[Network, ...], allowed: Iterable[AddressSet]) -> str:
    never = [part for part, _ in _NEVER]
    scannable = subtract([from_network(networks[0])], never) or subtract(allowed, never)
    lowest = scannable[0].first
    following = lowest + 1
    return str(following if scannable[0].shared(from_network(ip_network(following))) else lowest)
