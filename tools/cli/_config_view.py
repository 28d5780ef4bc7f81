"""A configuration as data for people and programs: values with their origin, a schema, an example. No secrets."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, TypedDict

from ..config._model import SETTINGS, Settings
from ..config._table import toml_value
from ..config._view import settings_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config._errors import SettingProblem
    from ..config._settings import Configuration
    from ..config._table import Setting

__all__ = [
    "SettingView",
    "configuration_view",
    "example_file",
    "json_schema",
    "problem_view",
    "setting_views",
]

SettingView = TypedDict("SettingView", {"name": str, "value": Any, "from": str, "kind": str, "restart": bool})
"""One setting: its value as JSON without secrets, where it comes from, and whether a change needs a restart."""


def setting_views(configuration: Configuration, *, changed: bool = False) -> list[SettingView]:
    """Every setting with its origin; with `changed` those that are no defaults."""
    values = settings_view(configuration.settings)
    return [
        {
            "name": name,
            "value": values[setting.section][setting.key] if setting.section else values[name],
            "from": str(configuration.origin(name)),
            "kind": configuration.origin(name).kind.value,
            "restart": setting.needs_restart,
        }
        for name, setting in SETTINGS.items()
        if not changed or name in configuration.origins
    ]


def configuration_view(configuration: Configuration, *, changed: bool = False) -> dict[str, Any]:
    """The whole configuration as JSON: file, digest, settings, warnings."""
    return {
        "file": None if configuration.file is None else str(configuration.file),
        "digest": configuration.digest,
        "settings": setting_views(configuration, changed=changed),
        "warnings": list(configuration.warnings),
    }


def problem_view(problem: SettingProblem) -> dict[str, Any]:
    """A problem as JSON."""
    return {
        "setting": problem.setting,
        "value": problem.value,
        "expected": problem.expected,
        "example": problem.example,
        "kind": problem.origin.kind.value,
        "source": problem.origin.name,
        "line": problem.origin.line,
    }


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a configuration file.

    >>> json_schema()["properties"]["cache_dir"]["description"].partition(",")[0]
    "nmap's working folders"
    """
    made = Settings.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "Tracefuse configuration",
        "description": "Settings of Tracefuse, each in its section. All have defaults.",
        "additionalProperties": False,
    }


def example_file() -> str:
    """A TOML file that changes nothing: every setting with its default, or an example, behind a `#`."""
    return "\n".join(_example_lines()) + "\n"


def _example_lines() -> Iterator[str]:
    yield "# Settings of Tracefuse. Every line behind a # is a default, or an example where there is none."
    yield "# Check this file: tracefuse config check FILE"
    for section, settings in groupby(SETTINGS.values(), key=lambda setting: setting.section):
        if section:
            about = type(getattr(Settings.model_construct(), section)).__doc__ or ""
            yield from ("", f"# {about}", f"[{section}]")
        for setting in settings:
            yield ""
            yield f"# {_sentence(setting)}"
            yield f"#{setting.key} = {toml_value(setting.example)}"


def _sentence(setting: Setting) -> str:
    text = "; ".join(part for part in (setting.description, setting.range) if part)
    return f"{text[:1].upper()}{text[1:]}.{' Read at the start only.' if setting.needs_restart else ''}"
