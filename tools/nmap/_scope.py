"""The addresses of one request: targets resolved, checked, made disjoint, without exclusions, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from .._policy import Rule
from ._addresses import AddressSet, V4Set, from_network, subtract
from ._reach import outside
from ._targets import HostName, parse_target, target_violation

if TYPE_CHECKING:
    from .._policy import Policy

__all__ = ["MAX_EXCLUSIONS", "MAX_TARGETS", "Resolver", "Scope", "plan_scope"]

Resolver: TypeAlias = Callable[[str], Sequence[str]]
"""Gives the addresses of a name as text; empty, or an OSError or LookupError, when there are none."""

MAX_TARGETS: Final = 1024
"""Target expressions in one request."""

MAX_EXCLUSIONS: Final = 256
"""Exclusions in one request."""

_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class Scope:
    """What will be scanned: `targets` in nmap's writing, disjoint, together exactly `address_count` addresses.

    `exclusions` have been taken out of `targets` already. `names` holds each name with all its addresses.
    """

    family: int
    targets: tuple[str, ...]
    exclusions: tuple[str, ...]
    address_count: int
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()


def plan_scope(
    targets: Sequence[object],
    exclude: Sequence[object],
    policy: Policy,
    resolver: Resolver,
    family: int | None = None,
) -> Scope:
    """Turn target expressions into a `Scope`. `family` is 4 or 6 when the request insists on one.

    Raises:
        PolicyViolation: a rule about targets, or about their type, length or characters.

    >>> from tracefuse.tools._policy import Policy
    >>> scope = plan_scope(["10.0.0.0/30", "10.0.0.2"], ["10.0.0.0"], Policy(), lambda name: ())
    >>> scope.targets, scope.address_count
    (('10.0.0.1-3',), 3)
    """
    _check_number_of(targets, MAX_TARGETS, policy, "target")
    _check_number_of(exclude, MAX_EXCLUSIONS, policy, "exclude")
    exclusions = [_exclusion(text, position, policy) for position, text in enumerate(exclude)]
    texts = [str(text) for text in targets]
    literal: dict[int, AddressSet] = {}
    names: dict[int, str] = {}
    for position, text in enumerate(targets):
        target = parse_target(text, position, policy)
        if isinstance(target, HostName):
            _check_name(target.name, position, policy)
            names[position] = target.name
        else:
            _check_reach(target, texts[position], position, policy)
            literal[position] = target
    # Names last: a request that is refused for anything else asks no resolver.
    resolved = {position: _resolve(name, position, policy, resolver) for position, name in names.items()}
    family = _family(texts, literal, resolved, family, policy)
    sets = [
        part
        for position in range(len(targets))
        for part in ((literal[position],) if position in literal else resolved[position].of(family))
    ]
    parts = subtract(_disjoint(sets), exclusions)
    count = sum(part.count for part in parts)
    _check_count(count, sets, texts, policy)
    return Scope(
        family=family,
        targets=tuple(text for part in parts for text in part.literals()),
        exclusions=tuple(text for part in exclusions for text in part.literals()),
        address_count=count,
        names=tuple((answer.name, answer.addresses) for answer in resolved.values()),
    )


@dataclass(frozen=True, slots=True)
class _Resolved:
    name: str
    addresses: tuple[str, ...]
    sets: tuple[AddressSet, ...]

    def of(self, family: int) -> tuple[AddressSet, ...]:
        return tuple(part for part in self.sets if _family_of(part) == family)


def _check_number_of(items: Sequence[object], limit: int, policy: Policy, field: str) -> None:
    if not items and field == "target":
        raise target_violation(policy, Rule.TARGET_SYNTAX, "", None, "there is no target", "give at least one")
    if len(items) > limit:
        problem = f"{len(items):,} expressions, and a request may have {limit:,}"
        suggestion = "write networks or ranges, or split the request"
        raise target_violation(policy, Rule.TARGET_COUNT, str(items[0]), None, problem, suggestion, field=field)


def _check_reach(part: AddressSet, token: str, position: int, policy: Policy) -> None:
    problem = outside(part, policy.networks)
    if problem:
        raise target_violation(policy, Rule.TARGET_NETWORK, token, position, problem, "give addresses inside them")


def _resolve(name: str, position: int, policy: Policy, resolver: Resolver) -> _Resolved:
    """Ask once; every address of the answer must be allowed, not only the one that would be used."""
    try:
        answers = tuple(dict.fromkeys(str(ip_address(answer)) for answer in resolver(name)))
    except (OSError, LookupError, ValueError) as error:
        reason = f"the name could not be resolved: {str(error) or type(error).__name__}"
        raise target_violation(policy, Rule.TARGET_RESOLUTION, name, position, reason, "give its address") from error
    if not answers:
        problem = "the name has no address"
        raise target_violation(policy, Rule.TARGET_RESOLUTION, name, position, problem, "give its address")
    sets = tuple(from_network(ip_network(answer)) for answer in map(_without_zone, answers))
    networks = _LOOPBACK if name.lower() == "localhost" else policy.networks
    for answer, part in zip(answers, sets, strict=True):
        problem = outside(part, networks) or outside(part, policy.networks)
        if problem:
            problem = f"the name resolves to {answer}, and {problem}"
            suggestion = "give the address that is meant"
            raise target_violation(policy, Rule.TARGET_NETWORK, name, position, problem, suggestion)
    return _Resolved(name, answers, sets)


def _without_zone(address: str) -> str:
    return address.partition("%")[0]


def _check_name(name: str, position: int, policy: Policy) -> None:
    lower = name.lower()
    allowed = (lower.endswith(domain) if domain.startswith(".") else lower == domain for domain in policy.domains)
    if lower != "localhost" and not any(allowed):
        domains = ", ".join(policy.domains) or "none"
        problem = f"the name is not under an allowed domain ({domains})"
        raise target_violation(
            policy, Rule.TARGET_NAME, name, position, problem, "give its address, if that is allowed"
        )


def _family_of(part: AddressSet) -> int:
    return 4 if isinstance(part, V4Set) else 6


def _family(
    texts: Sequence[str],
    literal: dict[int, AddressSet],
    resolved: dict[int, _Resolved],
    wanted: int | None,
    policy: Policy,
) -> int:
    """The one family nmap can scan in a run: as asked, as the addresses are, else the first all names have."""
    for position, part in literal.items():
        found = _family_of(part)
        if wanted not in (None, found):
            problem = f"this is IPv{found}, and the rest of the request is IPv{wanted}"
            suggestion = "nmap scans one address family at a time: ask for each in a request of its own"
            raise target_violation(policy, Rule.TARGET_FAMILY, texts[position], position, problem, suggestion)
        wanted = found
    choices = (wanted,) if wanted else (4, 6)
    for family in choices:
        if all(answer.of(family) for answer in resolved.values()):
            return family
    position, answer = next((p, a) for p, a in resolved.items() if not a.of(choices[0]))
    problem = f"the name has no IPv{choices[0]} address, and the rest of the request is IPv{choices[0]}"
    suggestion = "nmap scans one address family at a time: ask for each in a request of its own"
    raise target_violation(policy, Rule.TARGET_FAMILY, answer.name, position, problem, suggestion)


def _exclusion(text: object, position: int, policy: Policy) -> AddressSet:
    target = parse_target(text, position, policy, field="exclude")
    if isinstance(target, HostName):
        problem = "an exclusion is an address, a network or a range"
        raise target_violation(
            policy, Rule.TARGET_SYNTAX, target.name, position, problem, "give its address", field="exclude"
        )
    return target


def _disjoint(sets: Sequence[AddressSet]) -> list[AddressSet]:
    """The union of `sets` without overlaps, so that nothing is scanned or counted twice."""
    distinct = list(dict.fromkeys(sets))
    if _apart(distinct):
        return distinct
    wide = [part for part in distinct if part.count > 1]
    kept: list[AddressSet] = []
    for part in wide:
        kept.extend(subtract([part], kept))
    single = [part for part in distinct if part.count == 1 and not any(part.shared(other) for other in kept)]
    return kept + single


def _apart(sets: Sequence[AddressSet]) -> bool:
    """Whether the sets follow one another without their spans touching, as lists of targets mostly do."""
    spans = sorted((int(part.first), int(part.last)) for part in sets)
    return all(before[1] < after[0] for before, after in pairwise(spans))


def _check_count(count: int, sets: Sequence[AddressSet], texts: Sequence[str], policy: Policy) -> None:
    if count == 0:
        problem = "the exclusions leave no address"
        raise target_violation(policy, Rule.TARGET_COUNT, texts[0], None, problem, "exclude less")
    if count > policy.max_addresses:
        problem = f"{count:,} addresses, and a scan may cover {policy.max_addresses:,}"
        example = _smaller(sets, policy)
        suggestion = "scan it in parts"
        raise target_violation(policy, Rule.TARGET_COUNT, ", ".join(texts), None, problem, suggestion, example=example)


def _smaller(sets: Sequence[AddressSet], policy: Policy) -> str:
    """A network at the start of what was asked for that is small enough, or "" when there is none to offer."""
    host_bits = policy.max_addresses.bit_length() - 1
    first = sets[0].first
    network = ip_network((first, first.max_prefixlen - host_bits), strict=False)
    return "" if outside(from_network(network), policy.networks) else str(network)
