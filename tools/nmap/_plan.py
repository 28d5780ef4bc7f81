"""From a request to a plan: everything is checked here, and nothing is started."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .._policy import PolicyViolation, Rule
from ._arguments import ScanOption, parse_arguments
from ._coherence import check_bounds, check_family, check_ports
from ._combine import combine, template_options
from ._options import Group
from ._request import ScanPlan
from ._scope import plan_scope
from ._scripts import DEFAULT_RULE, select_scripts
from ._targets import target_violation
from ._templates import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._policy import Policy
    from ._request import ScanRequest
    from ._scope import Resolver, Scope
    from ._script_db import ScriptDatabase
    from ._scripts import ScriptSelection
    from ._templates import Template

__all__ = ["plan"]

_IDENTIFIER: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


def plan(
    request: ScanRequest,
    policy: Policy,
    resolver: Resolver,
    scripts: ScriptDatabase | None = None,
    templates: Mapping[str, Template] = TEMPLATES,
    *,
    privileged: bool = True,
) -> ScanPlan:
    """Check `request` against `policy` and decide exactly what nmap will be asked.

    Pure but for `resolver`, which is asked once for each host name, after everything else has passed.

    Args:
        request: what is wanted.
        policy: what is allowed.
        resolver: gives the addresses of a name; it has its own time limit.
        scripts: the database of the nmap that will run. Without one only default scripts can be asked for.
        templates: the templates a request may name.
        privileged: whether nmap will have raw sockets. Without, the plan uses forms that work and says so.

    Raises:
        PolicyViolation: the request is refused; see its attributes.

    >>> from tracefuse.tools._policy import Policy
    >>> from tracefuse.tools.nmap._request import ScanRequest
    >>> plan(ScanRequest("192.168.1.77/24", "-p 443,80", "quick"), Policy(), lambda name: ()).argv
    ('-T4', '-Pn', '-p80,443', '--', '192.168.1.0/24')
    """
    _check_fields(request, policy)
    preset = _preset(request.template, policy, templates)
    given = parse_arguments(request.extra_args, policy, privileged=privileged)
    options, notes = combine(preset, given, privileged=privileged)
    check_ports(options)
    check_bounds(options)
    selection = _selection(options, policy, scripts)
    notes.extend(_script_notes(selection))
    scope = plan_scope(_targets(request), request.exclude, policy, resolver, _family(options))
    check_family(options, scope.family)
    passed_on = tuple(option for option in options if option.row.group not in {Group.SCRIPTS, Group.FAMILY})
    rules = _rules(request, options, selection, scope)
    return ScanPlan(request, passed_on, scope, selection, privileged, tuple(notes), rules)


def _check_fields(request: ScanRequest, policy: Policy) -> None:
    """Types and ranges of the fields that no grammar looks at."""
    for field in ("targets", "exclude"):
        value: object = getattr(request, field)
        if not isinstance(value, tuple | list):
            problem = f"{field} is a tuple of texts"
            raise target_violation(policy, Rule.TYPE, repr(value), None, problem, "write (a, b)", field=field)
    _check_identifier(request.correlation_id)
    if request.timeout is not None:
        _check_timeout(request.timeout, policy)


def _check_identifier(identifier: object) -> None:
    if identifier is None or (isinstance(identifier, str) and _IDENTIFIER.fullmatch(identifier)):
        return
    problem = "a correlation id has 1 to 128 visible ASCII characters"
    raise PolicyViolation(
        Rule.TYPE, repr(identifier), None, "nightly-17", "shorten it", problem=problem, field="correlation_id"
    )


def _check_timeout(timeout: object, policy: Policy) -> None:
    example = f"{min(300.0, policy.max_timeout):g}"
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        problem = "a time limit is a number of seconds"
        raise PolicyViolation(Rule.TYPE, repr(timeout), None, example, "", problem=problem, field="timeout")
    if not 0 < timeout <= policy.max_timeout:
        problem = f"a time limit is above 0 and at most {policy.max_timeout:g} seconds"
        raise PolicyViolation(Rule.TIMEOUT, repr(timeout), None, example, "", problem=problem, field="timeout")


def _preset(name: object, policy: Policy, templates: Mapping[str, Template]) -> tuple[ScanOption, ...]:
    if name is None:
        return ()
    known = ", ".join(templates)
    example = next(iter(templates), "")
    if not isinstance(name, str):
        problem = "a template is asked for by name"
        raise PolicyViolation(
            Rule.TYPE, repr(name), None, example, f"known: {known}", problem=problem, field="template"
        )
    template = templates.get(name)
    if template is None:
        problem = "no template of this name"
        raise PolicyViolation(Rule.TEMPLATE, name, None, example, f"known: {known}", problem=problem, field="template")
    return template_options(template, policy)


def _targets(request: ScanRequest) -> Sequence[object]:
    return (request.target, *request.targets) if request.target != "" else request.targets


def _family(options: Sequence[ScanOption]) -> int | None:
    return next((int(option.name[1:]) for option in options if option.row.group is Group.FAMILY), None)


def _selection(
    options: Sequence[ScanOption], policy: Policy, database: ScriptDatabase | None
) -> ScriptSelection | None:
    asked = [option for option in options if option.row.group is Group.SCRIPTS]
    if not asked:
        return None
    rules = ",".join(DEFAULT_RULE if option.value is None else str(option.value) for option in asked)
    position = max(option.position for option in asked)
    return select_scripts(rules, policy, database, position)


def _script_notes(selection: ScriptSelection | None) -> list[str]:
    if selection is None:
        return []
    if not selection.digest:
        return ["without a script database, nmap itself leaves out the default scripts that the policy refuses"]
    if not selection.left_out:
        return []
    shown = ", ".join(selection.left_out[:10])
    more = f" and {len(selection.left_out) - 10} more" if len(selection.left_out) > 10 else ""
    return [f"default scripts that the policy refuses are left out: {shown}{more}"]


def _rules(
    request: ScanRequest, options: Sequence[ScanOption], selection: ScriptSelection | None, scope: Scope
) -> tuple[Rule, ...]:
    applied = [Rule.TARGET_SYNTAX, Rule.TARGET_NETWORK, Rule.TARGET_FAMILY, Rule.TARGET_COUNT]
    if scope.names:
        applied += [Rule.TARGET_NAME, Rule.TARGET_RESOLUTION]
    if options:
        applied += [Rule.OPTION_REFUSED, Rule.OPTION_INTRUSIVE, Rule.OPTION_VALUE, Rule.OPTION_CONFLICT]
    if any(option.row.group is Group.PORTS for option in options):
        applied.append(Rule.PORTS)
    if selection:
        applied.append(Rule.SCRIPT_REFUSED)
    if request.template is not None:
        applied.append(Rule.TEMPLATE)
    if request.timeout is not None:
        applied.append(Rule.TIMEOUT)
    return tuple(applied)
