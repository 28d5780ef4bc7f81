"""From a template's and a request's options to those of the scan: precedence, bundles, missing privileges."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .._policy import PolicyViolation, Rule
from ._arguments import UNPRIVILEGED_FORMS, ScanOption, conflict, parse_arguments, violation
from ._options import EXCLUSIVE, Group, Raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._policy import Policy
    from ._templates import Template

__all__ = ["combine", "template_options"]

_BUNDLES: Final = {"-A": ("-O", "-sV", "-sC", "--traceroute")}
_REPLACED: Final = EXCLUSIVE | {Group.SCRIPTS}


def template_options(template: Template, policy: Policy) -> tuple[ScanOption, ...]:
    """The options of a template, under the same policy as anyone's.

    Raises:
        PolicyViolation: as for extra arguments; the problem names the template.
    """
    try:
        options = parse_arguments(template.arguments, policy)
    except PolicyViolation as error:
        problem = f"in template {template.name!r}: {error.problem}"
        raise violation(error.rule, error.token, error.position, problem, error.suggestion, error.example) from None
    return tuple(replace(option, position=-1) for option in options)


def combine(
    preset: Sequence[ScanOption], given: Sequence[ScanOption], *, privileged: bool
) -> tuple[list[ScanOption], list[str]]:
    """The options of the scan, the template's first, and notes on what was changed.

    Raises:
        PolicyViolation: rule option.conflict, when the request asks a scan without ports for ports.

    >>> from tracefuse.tools._policy import Policy
    >>> options, notes = combine([ScanOption("-F")], parse_arguments("-p 80", Policy()), privileged=True)
    >>> [option.argument for option in options], notes
    (['-p80'], ['-F of the template gives way to -p80'])
    """
    notes: list[str] = []
    options = [option for option in preset if not _gives_way(option, given, notes)] + list(given)
    options = _unbundled(options, notes)
    if not privileged:
        options = [kept for option in options if (kept := _without_raw_sockets(option, notes)) is not None]
    return options, notes


def _gives_way(option: ScanOption, given: Sequence[ScanOption], notes: list[str]) -> bool:
    row = option.row
    for other in given:
        replaced = other.row is row or (other.row.group is row.group and row.group in _REPLACED)
        if not replaced and not conflict(row, other.row):
            continue
        if row.group is Group.NO_PORT_SCAN and not replaced:
            problem = f"{other.argument} asks about ports, and the template has {row.name} ({row.meaning})"
            raise violation(Rule.OPTION_CONFLICT, other.argument, other.position, problem, "use another template")
        notes.append(f"{option.argument} of the template gives way to {other.argument}")
        return True
    return False


def _unbundled(options: Sequence[ScanOption], notes: list[str]) -> list[ScanOption]:
    """`-A` as what it stands for, so that its scripts are checked like any others."""
    result: list[ScanOption] = []
    present = {option.name for option in options}
    for option in options:
        parts = _BUNDLES.get(option.name)
        if parts is None:
            result.append(option)
            continue
        result.extend(ScanOption(name) for name in parts if name not in present)
        notes.append(f"{option.name} is written out as {' '.join(parts)}")
    return result


def _without_raw_sockets(option: ScanOption, notes: list[str]) -> ScanOption | None:
    row = option.row
    if row.raw is Raw.WEAKER:
        notes.append(f"{option.argument} needs root; without it {row.raw.value}")
    if row.raw is not Raw.NEEDED:
        return option
    instead = UNPRIVILEGED_FORMS.get(option.name)
    if instead:
        notes.append(f"{option.argument} needs root; {instead} is used instead")
        return ScanOption(instead, None, option.position)
    notes.append(f"{option.argument} needs root and is left out")
    return None
