"""Extra arguments: split once, matched by exact name against the option table, turned into typed options."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

from .._policy import PolicyViolation, Rule
from ._options import CLUSTER_LETTERS, EXCLUSIVE, OPTIONS, Group, Raw, Verdict
from ._ports import PortList
from ._values import Ports, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._policy import Policy
    from ._options import Option
    from ._values import OptionValue

__all__ = ["EXAMPLE", "UNPRIVILEGED_FORMS", "ScanOption", "check_conflicts", "conflict", "parse_arguments", "violation"]

EXAMPLE: Final = "-sV -p 80"
"""Arguments that every policy accepts."""

UNPRIVILEGED_FORMS: Final = {"-sS": "-sT"}
"""Options that need raw sockets, and those that find out the same without."""

_PRINTABLE: Final = re.compile(r"[ -~]*", re.ASCII)
_QUOTING: Final = re.compile(r"[\"'\\]", re.ASCII)
_CLUSTER: Final = re.compile(rf"-s([{CLUSTER_LETTERS}]{{2,}})", re.ASCII)
_LEVEL: Final = re.compile(r"-(?:(v+|d+)|[vd]([1-9]))", re.ASCII)


@dataclass(frozen=True, slots=True)
class ScanOption:
    """An option with its typed value, as it will be passed on.

    `position` is the index of its token in the extra arguments, -1 when it comes from elsewhere.
    """

    name: str
    value: OptionValue = None
    position: int = -1

    @property
    def row(self) -> Option:
        """Its row in the option table."""
        return OPTIONS[self.name]

    @property
    def needs_root(self) -> bool:
        """Whether nmap refuses it without raw sockets."""
        return self.row.raw is Raw.NEEDED

    @property
    def argument(self) -> str:
        """Its one token in canonical writing.

        >>> ScanOption("--top-ports", 100).argument, ScanOption("-T", 4).argument, ScanOption("-v", 2).argument
        ('--top-ports=100', '-T4', '-v2')
        """
        if self.value is None or (self.row.repeatable and self.value == 1):
            return self.name
        return f"{self.name}={self.value}" if self.name.startswith("--") else f"{self.name}{self.value}"


def parse_arguments(text: object, policy: Policy, *, privileged: bool = True) -> tuple[ScanOption, ...]:
    """Read extra arguments as a shell would split them, without anything else a shell does.

    Raises:
        PolicyViolation: rule type, length, characters, argument.syntax, option.* or ports.

    >>> from tracefuse.tools._policy import Policy
    >>> [option.argument for option in parse_arguments("-sVC -p '80,443' --host-timeout 5m", Policy())]
    ['-sV', '-sC', '-p80,443', '--host-timeout=300s']
    """
    tokens = _split(text, policy)
    options: list[ScanOption] = []
    position = 0
    while position < len(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        found, used = _read(tokens[position], following, position)
        for option in found:
            _check_verdict(option.row, tokens[position], position, policy, privileged=privileged)
            _check_limits(option, tokens[position + used - 1], position + used - 1, policy)
        options.extend(found)
        position += used
    check_conflicts(options, tokens)
    return tuple(options)


def violation(
    rule: Rule, token: str, position: int | None, problem: str, suggestion: str = "", example: str = EXAMPLE
) -> PolicyViolation:
    """A violation about the extra arguments."""
    return PolicyViolation(rule, token, position, example, suggestion, problem=problem)


def check_conflicts(options: Iterable[ScanOption], tokens: Sequence[str] = ()) -> None:
    """Refuse options given twice and options that contradict each other.

    Raises:
        PolicyViolation: rule option.conflict.
    """
    for first, second in combinations(options, 2):
        problem = conflict(first.row, second.row)
        if problem:
            token = tokens[second.position] if 0 <= second.position < len(tokens) else second.name
            raise violation(
                Rule.OPTION_CONFLICT, token, second.position, problem, "give one of them", _example(first.row)
            )


def conflict(first: Option, second: Option) -> str:
    """Why two options cannot both be given, or "" when they can."""
    if first is second:
        return f"{first.name} is given twice"
    if (first.group is second.group and first.group in EXCLUSIVE) or (
        second.group in first.excludes or first.group in second.excludes
    ):
        return f"{second.name} contradicts {first.name}"
    return ""


def _split(text: object, policy: Policy) -> list[str]:
    if not isinstance(text, str):
        raise violation(Rule.TYPE, repr(text), None, "extra arguments are a text", "write them as on a command line")
    if len(text) > policy.max_argument_length:
        problem = f"{len(text):,} characters, and extra arguments may have {policy.max_argument_length:,}"
        raise violation(Rule.LENGTH, text, None, problem, "write ranges instead of long lists")
    if not _PRINTABLE.fullmatch(text):
        problem = "control characters and characters outside ASCII are not allowed"
        raise violation(Rule.CHARACTERS, text, None, problem, "type plain hyphens, digits and blanks")
    if not _QUOTING.search(text):
        return text.split()
    try:
        return shlex.split(text)
    except ValueError as error:
        problem = f"the quotes do not match: {error}"
        raise violation(Rule.ARGUMENT_SYNTAX, text, None, problem, "close every quote") from None


def _read(token: str, following: str | None, position: int) -> tuple[tuple[ScanOption, ...], int]:
    """The options of one token, and how many tokens they took."""
    if not token.startswith("-") or token in {"-", "--"}:
        problem = "neither an option nor the value of one; nmap would take it for another target"
        raise violation(Rule.ARGUMENT_SYNTAX, token, position, problem, "give targets in the request's own field")
    row = OPTIONS.get(token)
    if row is None:
        return _read_attached(token, position), 1
    if row.repeatable:
        return (ScanOption(row.name, 1, position),), 1
    if row.grammar is None or row.tight:
        return (ScanOption(row.name, None, position),), 1
    if following is None or (following.startswith("-") and following != "-"):
        raise _value_violation(row, token, position, "it needs a value; a token that starts with a dash is none")
    return (ScanOption(row.name, _parse(row, following, position + 1), position),), 2


def _read_attached(token: str, position: int) -> tuple[ScanOption, ...]:
    """A token that holds more than a name: `--name=value`, `-p80`, `-vv`, `-sVC`."""
    if level := _LEVEL.fullmatch(token):
        return (ScanOption(token[:2], min(len(level[1] or ""), 9) or int(level[2]), position),)
    if cluster := _CLUSTER.fullmatch(token):
        return tuple(ScanOption(f"-s{letter}", None, position) for letter in cluster[1])
    name, equals, value = token.partition("=")
    if name.startswith("--"):
        row = OPTIONS.get(name) if equals else None
    else:
        row = OPTIONS.get(token[:3]) or OPTIONS.get(token[:2])
        value = token[len(row.names[0]) :] if row else ""
        # A name in one dash looks like a short option with something attached: -datadir is not -d.
        row = None if f"-{name}" in OPTIONS else row
    if row is None:
        raise _unknown(token, name, position)
    if row.verdict in {Verdict.REFUSED, Verdict.MANAGED}:
        return (ScanOption(row.name, None, position),)
    if row.grammar is None:
        raise _value_violation(row, token, position, "it takes no value")
    return (ScanOption(row.name, _parse(row, value, position, token), position),)


def _unknown(token: str, name: str, position: int) -> PolicyViolation:
    meant = OPTIONS.get(f"-{name}") or OPTIONS.get(name.replace("_", "-")) or OPTIONS.get(_SLIPS.get(name, ""))
    longer = [full for full in OPTIONS if full.startswith(name)] if name.startswith("--") else []
    if meant is None and len(longer) == 1:
        meant = OPTIONS[longer[0]]
    if meant is None:
        suggestion = "see `nmap --help`; names are exact, and letters are joined only as in -sVC or -vv"
        return violation(Rule.OPTION_UNKNOWN, token, position, "nmap has no option of exactly this name", suggestion)
    problem = "nmap has no option of exactly this name, and abbreviations are not accepted"
    return violation(Rule.OPTION_UNKNOWN, token, position, problem, f"did you mean {meant.name}?", _example(meant))


_SLIPS: Final = {"--ports": "-p", "--port": "-p", "--decoy": "-D", "--os": "-O", "--ping": "-PE", "--ipv6": "-6"}


def _parse(row: Option, text: str, position: int, token: str | None = None) -> OptionValue:
    assert row.grammar is not None  # noqa: S101 (for the type checker; both callers have looked)
    try:
        return row.grammar.parse(text)
    except ValueError as error:
        raise _value_violation(row, token or text, position, str(error)) from None


def _example(row: Option) -> str:
    """The option as it would be accepted, if that depends neither on the policy, on root nor on the targets."""
    always = row.verdict is Verdict.ALLOWED and row.raw is not Raw.NEEDED and row.group is not Group.FAMILY
    return row.example if always else EXAMPLE


def _value_violation(row: Option, token: str, position: int, problem: str) -> PolicyViolation:
    rule = Rule.PORTS if isinstance(row.grammar, Ports) else Rule.OPTION_VALUE
    problem, _, suggestion = problem.partition("; ")
    return violation(rule, token, position, f"{row.name}: {problem}", suggestion, _example(row))


def _check_verdict(row: Option, token: str, position: int, policy: Policy, *, privileged: bool) -> None:
    if row.verdict is Verdict.REFUSED or row.verdict is Verdict.MANAGED:
        label = "is not allowed" if row.verdict is Verdict.REFUSED else "is managed by Tracefuse"
        problem = f"{row.name} ({row.meaning}) {label}: {row.reason}"
        raise violation(Rule.OPTION_REFUSED, token, position, problem, "leave it out", row.instead)
    if row.verdict is Verdict.INTRUSIVE and not policy.allow_intrusive:
        problem = f"{row.name} ({row.meaning}) needs allow_intrusive: {row.reason}"
        raise violation(Rule.OPTION_INTRUSIVE, token, position, problem, "leave it out", row.instead)
    if row.raw is Raw.NEEDED and not privileged and row.name not in UNPRIVILEGED_FORMS:
        problem = f"{row.name} ({row.meaning}) needs raw sockets, and nmap will run without root"
        raise violation(Rule.OPTION_PRIVILEGE, token, position, problem, "leave it out, or run as root", "-sT")


def _check_limits(option: ScanOption, token: str, position: int, policy: Policy) -> None:
    value = option.value
    if isinstance(value, PortList) and value.written > policy.max_port_ranges:
        problem = f"{value.written} ranges, and a port list may have {policy.max_port_ranges}"
        raise violation(Rule.PORTS, token, position, problem, "join neighbours to ranges", _example(option.row))
    if option.name == "--host-timeout" and isinstance(value, Seconds):
        longest = Seconds(int(policy.max_host_timeout * 1000))
        if value > longest:
            problem = f"{value} is longer than the policy's {longest}"
            example = f"--host-timeout={longest}"
            raise violation(Rule.OPTION_VALUE, token, position, problem, "shorten it", example)
