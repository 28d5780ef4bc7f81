"""What only shows when settings are used together: templates under the policy, an address that may not be served."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .._app import build_tool
from ..http._exposure import check_exposure
from ..nmap import TemplateError
from ._errors import SettingProblem, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._settings import Configuration

__all__ = ["check_settings"]


def check_settings(configuration: Configuration) -> tuple[SettingProblem, ...]:
    """All that a start with `configuration` would be refused for; nothing is started."""
    return tuple(_problems(configuration))


def _problems(configuration: Configuration) -> Iterator[SettingProblem]:
    try:
        build_tool(configuration.settings)
    except TemplateError as error:
        yield template_problem(configuration, error)
    try:
        check_exposure(configuration.settings)
    except SettingsError as error:
        yield from error.problems or [_plain(configuration, error)]


def template_problem(configuration: Configuration, error: TemplateError) -> SettingProblem:
    """What is wrong with a template, and where it was given."""
    origin = configuration.origin("templates")
    return SettingProblem("templates", error.name, error.problem, origin, error.example)


def _plain(configuration: Configuration, error: SettingsError) -> SettingProblem:
    name = error.variable.removeprefix("TRACEFUSE_").lower().replace("_", ".", 1)
    origin = configuration.origin(name)
    return SettingProblem(name, error.value, error.expected, replace(origin, name=origin.name or error.variable))
