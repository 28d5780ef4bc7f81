"""What may be scanned and how: the frozen policy, and the violation that a refused request ends in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "NEVER_SCANNED",
    "PRIVATE_NETWORKS",
    "Network",
    "Policy",
    "PolicyError",
    "PolicyViolation",
    "Rule",
    "is_never_scanned",
]

Network: TypeAlias = IPv4Network | IPv6Network


class Rule(StrEnum):
    """Why a request was refused. A small fixed set: it becomes a metric attribute."""

    TYPE = "type"
    """A field has the wrong type."""
    LENGTH = "length"
    """A text is longer than the policy allows."""
    CHARACTERS = "characters"
    """A control character, or one outside ASCII."""
    ARGUMENT_SYNTAX = "argument.syntax"
    """Unbalanced quotes, or a token that is neither an option nor its value and would become a target."""
    TARGET_SYNTAX = "target.syntax"
    """Not one address, network, octet range or name in canonical writing."""
    TARGET_NETWORK = "target.network"
    """Reaches addresses outside the allowed networks, or ones that nothing can allow."""
    TARGET_NAME = "target.name"
    """A host name outside the allowed domains."""
    TARGET_RESOLUTION = "target.resolution"
    """A host name without an answer."""
    TARGET_FAMILY = "target.family"
    """IPv4 and IPv6 in one request."""
    TARGET_COUNT = "target.count"
    """Too many addresses, or none left after the exclusions."""
    OPTION_UNKNOWN = "option.unknown"
    """Not an option of nmap by its exact name."""
    OPTION_REFUSED = "option.refused"
    """An option that no policy allows, or that Tracefuse sets itself."""
    OPTION_INTRUSIVE = "option.intrusive"
    """Needs `allow_intrusive`."""
    OPTION_VALUE = "option.value"
    """A missing, superfluous, malformed or out-of-range value."""
    OPTION_CONFLICT = "option.conflict"
    """Given twice, or contradicts another option."""
    OPTION_PRIVILEGE = "option.privilege"
    """Needs raw sockets, and nmap runs without them."""
    PORTS = "ports"
    """A port list with a bad element, too many ranges, or for a protocol that is not scanned."""
    SCRIPT_UNKNOWN = "script.unknown"
    """A script expression that is malformed, matches nothing, or cannot be checked."""
    SCRIPT_REFUSED = "script.refused"
    """A script expression that reaches scripts the policy does not allow."""
    TEMPLATE = "template"
    """No template of that name."""
    TIMEOUT = "timeout"
    """A time limit outside the policy's range."""


PRIVATE_NETWORKS: Final[tuple[Network, ...]] = tuple(
    ip_network(text) for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)
"""Loopback, RFC 1918 and unique local IPv6 (RFC 4193): what is allowed by default."""

NEVER_SCANNED: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        # IPv4, from the IANA special-purpose registry: this host, link-local (where clouds keep instance
        # metadata), protocol assignments, the 6to4 relay, multicast, reserved with the broadcast address.
        *("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # Metadata and host services of clouds outside link-local: Alibaba, Azure.
        *("100.100.100.200/32", "168.63.129.16/32"),
        # IPv6: unspecified, discard, link-local (fe80::a9fe:a9fe is metadata), the old site-local, multicast.
        *("::/128", "100::/64", "fe80::/10", "fec0::/10", "ff00::/8"),
        # IPv6 that carries an IPv4 address: mapped, translated, NAT64, Teredo, 6to4. Ask for the IPv4 address.
        *("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
        # Metadata inside unique local IPv6: AWS (and its DNS and NTP), Google, Scaleway, Oracle.
        *("fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128", "fd00:c1::a9fe:a9fe/128"),
    )
)
"""What no configuration can allow. The deprecated IPv4-compatible ::/96, except ::1, belongs to it too."""

_NEVER_V4: Final = tuple(collapse_addresses(n for n in NEVER_SCANNED if isinstance(n, IPv4Network)))
_NEVER_V6: Final = tuple(collapse_addresses(n for n in NEVER_SCANNED if isinstance(n, IPv6Network)))
_IPV4_COMPATIBLE: Final = IPv6Network("::/96")

_WORDS: Final = {"RFC1918": PRIVATE_NETWORKS, "PRIVATE": PRIVATE_NETWORKS}
_DOMAIN: Final = re.compile(
    r"\.?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)
_CATEGORY: Final = re.compile(r"[a-z]{1,32}", re.ASCII)
_RANGES: Final[dict[str, tuple[type[int | float], int, int, str]]] = {
    "max_addresses": (int, 1, 1_048_576, "1024"),
    "max_port_ranges": (int, 1, 1_000, "100"),
    "max_argument_length": (int, 64, 10_240, "2048"),
    "max_timeout": (float, 1, 604_800, "3600.0"),
    "max_host_timeout": (float, 60, 604_800, "14400.0"),
}


class PolicyError(ValueError):
    """A policy that makes no sense. Attributes: `field`, `value`, `expected`, `example`.

    >>> print(PolicyError("max_addresses", 0, "an integer from 1 to 1048576", "1024"))
    max_addresses = 0: expected an integer from 1 to 1048576, for example 1024
    """

    def __init__(self, field: str, value: object, expected: str, example: str) -> None:
        super().__init__(field, value, expected, example)
        self.field = field
        self.value = value
        self.expected = expected
        self.example = example

    def __str__(self) -> str:
        return f"{self.field} = {self.value!r}: expected {self.expected}, for example {self.example}"


class PolicyViolation(Exception):  # noqa: N818 (the known name; it is a verdict on the request, not a fault)
    """A request was refused. Nothing was started.

    Attributes:
        rule: which rule it breaks.
        token: the offending piece as it was given, shortened to 80 characters.
        position: index of that piece among the tokens of the arguments or among the targets, or None.
        example: a value for `field` that the same policy accepts.
        suggestion: what to do instead; may be empty.
        problem: what was wrong.
        field: the field of the request it is about: target, extra_args, exclude, template or timeout.
        details: more names, for example the scripts that broke the rule.

    >>> print(PolicyViolation(Rule.OPTION_UNKNOWN, "--ports", 0, "-p 80", "write -p", problem="no option of nmap"))
    '--ports': no option of nmap; write -p. Example: -p 80
    """

    def __init__(
        self,
        rule: Rule,
        token: str,
        position: int | None,
        example: str,
        suggestion: str,
        *,
        problem: str = "",
        field: str = "extra_args",
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(rule, token, position, example, suggestion)
        self.rule = rule
        self.token = token if len(token) <= 80 else token[:77] + "..."
        self.position = position
        self.example = example
        self.suggestion = suggestion
        self.problem = problem
        self.field = field
        self.details = details

    def __str__(self) -> str:
        said = "; ".join(part for part in (self.problem, self.suggestion) if part)
        return f"{self.token!r}: {said}. Example: {self.example}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (*self.args, self.problem, self.field, self.details)


def _rebuild(
    rule: Rule, token: str, position: int | None, example: str, suggestion: str,
    problem: str, field: str, details: tuple[str, ...],
) -> PolicyViolation:  # fmt: skip
    return PolicyViolation(rule, token, position, example, suggestion, problem=problem, field=field, details=details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may be scanned and how. A value: to change it, replace it whole.

    Args:
        networks: what targets may lie in. `NEVER_SCANNED` is taken out of them whatever they hold.
        domains: ".lab.internal" allows every name below that domain, "gw.example.org" that name. The
            addresses still have to lie in `networks`. "localhost" is always a name, for loopback only.
        max_addresses: how many addresses one scan may cover.
        max_port_ranges: how many elements one port list may have.
        max_argument_length: characters of the extra arguments.
        max_timeout: longest time limit of a scan, in seconds.
        max_host_timeout: longest `--host-timeout`, in seconds.
        allow_intrusive: allow options and scripts that may disturb or attack the target.
        script_categories: a script must be in one of these, and in none of the dangerous ones.

    Raises:
        PolicyError: a field is out of its range; it names the field, what is expected, and an example.

    >>> Policy().max_addresses
    1024
    >>> Policy(max_addresses=0)
    Traceback (most recent call last):
        ...
    tracefuse.tools._policy.PolicyError: max_addresses = 0: expected an integer from 1 to 1048576, for example 1024
    """

    networks: tuple[Network, ...] = PRIVATE_NETWORKS
    domains: tuple[str, ...] = (".lab.internal",)
    max_addresses: int = 1024
    max_port_ranges: int = 100
    max_argument_length: int = 2048
    max_timeout: float = 3600.0
    max_host_timeout: float = 14_400.0
    allow_intrusive: bool = False
    script_categories: tuple[str, ...] = ("default", "safe")

    def __post_init__(self) -> None:
        _check_networks(self.networks)
        _check_texts("domains", self.domains, _DOMAIN, "domains in lower case", '(".lab.internal",)')
        _check_texts(
            "script_categories", self.script_categories, _CATEGORY, "categories in lower case", '("default", "safe")'
        )
        if type(self.allow_intrusive) is not bool:
            raise PolicyError("allow_intrusive", self.allow_intrusive, "True or False", "False")
        for name in _RANGES:
            _check_number(name, getattr(self, name))

    def with_allowed_targets(self, entries: Iterable[str]) -> Policy:
        """This policy with networks and domains from one list, as in the known setting `allowed_targets`.

        An entry is a network, an address, a domain, or "RFC1918" for `PRIVATE_NETWORKS`.

        Raises:
            PolicyError: an entry is none of these.

        >>> policy = Policy().with_allowed_targets(["10.1.0.0/16", ".lab.internal"])
        >>> policy.networks, policy.domains
        ((IPv4Network('10.1.0.0/16'),), ('.lab.internal',))
        """
        networks: list[Network] = []
        domains: list[str] = []
        for entry in entries:
            if entry.upper() in _WORDS:
                networks.extend(_WORDS[entry.upper()])
            elif _DOMAIN.fullmatch(entry):
                domains.append(entry)
            else:
                networks.append(_network(entry))
        return replace(self, networks=tuple(networks), domains=tuple(domains))


def _network(entry: str) -> Network:
    try:
        return ip_network(entry)
    except ValueError:
        expected = "a network without host bits, an address, a domain or RFC1918"
        raise PolicyError("allowed_targets", entry, expected, '["RFC1918", ".lab.internal"]') from None


def _check_networks(networks: object) -> None:
    expected = "a non-empty tuple of ipaddress networks that may be scanned"
    example = '(ip_network("10.0.0.0/8"),)'
    members = _members("networks", networks, expected, example)
    if not members:
        raise PolicyError("networks", networks, expected, example)
    for network in members:
        if not isinstance(network, IPv4Network | IPv6Network):
            raise PolicyError("networks", network, expected, example)
        if is_never_scanned(network):
            raise PolicyError("networks", str(network), "networks outside those that are never scanned", example)


def is_never_scanned(network: Network) -> bool:
    """Whether the whole of `network` is out of reach of every configuration.

    >>> is_never_scanned(ip_network("169.254.169.254")), is_never_scanned(ip_network("10.0.0.0/8"))
    (True, False)
    """
    if isinstance(network, IPv4Network):
        return any(network.subnet_of(never) for never in _NEVER_V4)
    return any(network.subnet_of(never) for never in _NEVER_V6) or (
        network.subnet_of(_IPV4_COMPATIBLE) and IPv6Address(1) not in network
    )


def _check_texts(field: str, texts: object, pattern: re.Pattern[str], expected: str, example: str) -> None:
    for text in _members(field, texts, f"a tuple of {expected}", example):
        if not isinstance(text, str) or not pattern.fullmatch(text):
            raise PolicyError(field, text, expected, example)


def _members(field: str, items: object, expected: str, example: str) -> tuple[object, ...]:
    if not isinstance(items, tuple):
        raise PolicyError(field, items, expected, example)
    return cast("tuple[object, ...]", items)


def _check_number(field: str, value: object) -> None:
    kind, low, high, example = _RANGES[field]
    wanted = (int, float) if kind is float else int
    if isinstance(value, bool) or not isinstance(value, wanted) or not low <= value <= high:
        unit = "an integer" if kind is int else "seconds"
        raise PolicyError(field, value, f"{unit} from {low} to {high}", example)
