"""Templates from a configuration: read as data, checked by the policy before any of them is used."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from .._policy import PolicyViolation, Rule
from ._plan import plan
from ._reach import example_target
from ._request import ScanRequest
from ._templates import TEMPLATES, Template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._policy import Policy
    from ._script_db import ScriptDatabase

__all__ = ["MAX_TEMPLATES", "TemplateError", "read_templates"]

MAX_TEMPLATES: Final = 100
"""Own templates of one configuration."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_FIELDS: Final = ("arguments", "sends", "takes")
_EXAMPLE: Final = '{"web": {"arguments": "-sV -p 80,443", "takes": "10 s a host"}}'


class TemplateError(ValueError):
    """A template that cannot be used. Attributes: `name`, `problem`, `example`, and `rule` when the policy refused it.

    >>> print(TemplateError("web", "it has no arguments", '{"web": "-p 80"}'))
    template 'web': it has no arguments. Example: {"web": "-p 80"}
    """

    def __init__(self, name: str, problem: str, example: str = _EXAMPLE, rule: Rule | None = None) -> None:
        super().__init__(name, problem, example, rule)
        self.name = name
        self.problem = problem
        self.example = example
        self.rule = rule

    def __str__(self) -> str:
        return f"template {self.name!r}: {self.problem}. Example: {self.example}"


def read_templates(
    entries: Mapping[str, object], policy: Policy, scripts: ScriptDatabase | None = None
) -> Mapping[str, Template]:
    """Return the templates that are always there and those of `entries`, which map a name to arguments.

    An entry is a text (the arguments as on nmap's command line) or a mapping with `arguments` and, for
    people, `sends` and `takes`. A template of one's own may not take the name of another. `scripts` is the
    database of the nmap that will run; without it only default scripts can be asked for.

    Raises:
        TemplateError: an entry is malformed, or `policy` would refuse it whenever it is used.

    >>> from tracefuse.tools._policy import Policy
    >>> read_templates({"web": "-sV -p 80,443"}, Policy())["web"].arguments
    '-sV -p 80,443'
    """
    if len(entries) > MAX_TEMPLATES:
        raise TemplateError(next(iter(entries)), f"{len(entries)} templates, and there may be {MAX_TEMPLATES}")
    own = {name: _template(name, entry) for name, entry in entries.items()}
    known = MappingProxyType({**TEMPLATES, **own})
    for template in own.values():
        _check(template, known, policy, scripts)
    return known


def _template(name: object, entry: object) -> Template:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TemplateError(str(name)[:80], "a name is 1 to 32 lower-case letters, digits and dashes, a letter first")
    if name in TEMPLATES:
        raise TemplateError(name, f"the names {', '.join(TEMPLATES)} are taken", '{"my-' + name + '": "-sV -p 80"}')
    texts = {"arguments": entry} if isinstance(entry, str) else _texts(name, entry)
    if not texts.get("arguments", "").strip():
        raise TemplateError(name, "it has no arguments")
    return Template(name, **texts)


def _texts(name: str, entry: object) -> dict[str, str]:
    if not isinstance(entry, dict):
        raise TemplateError(name, "it is a text or a mapping")
    given = cast("dict[object, object]", entry)
    for field, value in given.items():
        if field not in _FIELDS:
            raise TemplateError(name, f"there is no field {str(field)[:80]!r}; there are {', '.join(_FIELDS)}")
        if not isinstance(value, str) or len(value) > 10_000:
            raise TemplateError(name, f"{field} is a text")
    return cast("dict[str, str]", given)


def _check(
    template: Template, templates: Mapping[str, Template], policy: Policy, scripts: ScriptDatabase | None
) -> None:
    """Plan it for an address that the policy allows: what is refused then is refused always."""
    request = ScanRequest(example_target(policy.networks), template=template.name)
    try:
        plan(request, policy, lambda name: (name,), scripts, templates)
    except PolicyViolation as violation:
        problem = violation.problem.removeprefix(f"in template {template.name!r}: ")
        example = f'{{"{template.name}": "{violation.example}"}}'
        said = "; ".join(part for part in (problem, violation.suggestion) if part)
        raise TemplateError(template.name, f"{violation.token!r}: {said}", example, violation.rule) from violation
