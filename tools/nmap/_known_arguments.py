"""What `NmapTool.run` adds to arguments that leave it open, and arguments written canonically."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ._arguments import parse_arguments
from ._combine import combine
from ._options import Group

if TYPE_CHECKING:
    from .._policy import Policy
    from ._arguments import ScanOption

__all__ = ["DEFAULT_ARGUMENTS", "rewritten", "with_defaults"]

DEFAULT_ARGUMENTS: Final = ("-T4", "--max-parallelism 10", "-Pn", "--top-ports 1000")
"""What is added where the arguments say nothing about it."""


def rewritten(arguments: str, policy: Policy) -> str:
    """The arguments in canonical writing.

    Raises:
        PolicyViolation: the policy refuses them.

    >>> from tracefuse.tools._policy import Policy
    >>> rewritten("-sVC -p80,443 --max-retries=2", Policy())
    '-sV -sC -p 80,443 --max-retries 2'
    """
    return " ".join(map(_written, parse_arguments(arguments, policy)))


def with_defaults(arguments: str, policy: Policy) -> str:
    """The arguments, after those defaults that neither repeat nor contradict them.

    Raises:
        PolicyViolation: the policy refuses them.

    >>> from tracefuse.tools._policy import Policy
    >>> with_defaults("-sV -p 80", Policy())
    '-T4 --max-parallelism 10 -Pn -sV -p 80'
    """
    given = parse_arguments(arguments, policy)
    kept = [default for default in DEFAULT_ARGUMENTS if _fits(default, given, policy)]
    return " ".join((*kept, arguments)).strip()


def _fits(default: str, given: tuple[ScanOption, ...], policy: Policy) -> bool:
    option = replace(parse_arguments(default, policy)[0], position=-1)
    group, names = option.row.group, {other.name for other in given}
    if group is Group.SKIP_DISCOVERY and any(other.row.group is Group.NO_PORT_SCAN for other in given):
        return False  # -sn -Pn would call every address a host
    if option.name == "--max-parallelism" and "--min-parallelism" in names:
        return False
    return option in combine([option], given, privileged=True)[0]


def _written(option: ScanOption) -> str:
    """As a person would write it, a blank before the value where nmap takes one."""
    row = option.row
    if option.value is None or row.grammar is None or row.tight or option.name == "-T":
        return option.argument
    return f"{option.name} {shlex.quote(str(option.value))}"
