"""`tracefuse config`: what is in force and why, whether it can be used, and how a file is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .._exit import ExitCode
from ..config._check import check_settings
from ..config._errors import SettingsError
from ._config_view import configuration_view, example_file, json_schema, problem_view, setting_views
from ._session import config_source, warn

if TYPE_CHECKING:
    from pathlib import Path

    from ..config._errors import SettingProblem

__all__ = ["check_configuration", "show_configuration", "show_example", "show_schema"]


def show_configuration(*, changed: bool, as_json: bool) -> ExitCode:
    """Print the settings in force; with `changed` those that are no defaults."""
    configuration = config_source().load()
    for text in configuration.warnings:
        warn(text)
    if as_json:
        click.echo(json.dumps(configuration_view(configuration, changed=changed), indent=2))
        return ExitCode.DONE
    for row in setting_views(configuration, changed=changed):
        click.echo(f"{row['name']} = {_written(row['value'])}   # {row['from']}")
    click.echo(f"# digest {configuration.digest}, file: {configuration.file or 'none'}")
    return ExitCode.DONE


def _written(value: object) -> str:
    """As in a file, where that can say nothing at all."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def check_configuration(file: Path | None, *, as_json: bool) -> ExitCode:
    """Print all that is wrong with the configuration, or that nothing is."""
    source = config_source(file=file)
    problems: tuple[SettingProblem, ...] = ()
    warnings: tuple[str, ...] = ()
    path = file
    try:
        configuration = source.load()
        path, warnings = configuration.file, configuration.warnings
        problems = check_settings(configuration)
    except SettingsError as error:
        problems = error.problems
    if as_json:
        answer: dict[str, Any] = {
            "file": None if path is None else str(path),
            "usable": not problems,
            "problems": [problem_view(problem) for problem in problems],
            "warnings": warnings,
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        for text in (*map(str, problems), *warnings):
            warn(text)
        if not problems:
            click.echo(f"{path or 'the configuration, without a file,'} can be used")
    return ExitCode.REFUSED if problems else ExitCode.DONE


def show_schema() -> ExitCode:
    """Print the JSON Schema of a file."""
    click.echo(json.dumps(json_schema(), indent=2))
    return ExitCode.DONE


def show_example() -> ExitCode:
    """Print a file with every setting."""
    click.echo(example_file(), nl=False)
    return ExitCode.DONE
