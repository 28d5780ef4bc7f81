"""What each source gives: the file, the environment, the command line, each as settings by name with their origin."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from ._errors import Origin, OriginKind, SettingProblem, example_of, unknown_name
from ._legacy_environ import LEGACY_SECTIONS, LEGACY_VARIABLES, Legacy, renamed
from ._table import PREFIX, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._file import ConfigFile
    from ._table import Setting

__all__ = ["Given", "Layer", "command_line_layer", "environment_layer", "file_layer", "merged"]

_NO_SETTINGS: Final = {"TRACEFUSE_CONFIG", "TRACEFUSE_OTELCOL"}
"""Variables with our prefix that are read elsewhere."""

_MOST_PROBLEMS: Final = 100
"""Mistakes in a file after which no more is looked at: to find what each was meant to be takes its time."""

_OLD_SECTIONS: Final = {name.partition(".")[0] for name in LEGACY_SECTIONS}
_LOG_FORMAT_GONE: Final = Legacy(gone="a line has a fixed form; logging.format is json or console")


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody gave it, and where."""

    value: object
    origin: Origin


@dataclass(slots=True)
class Layer:
    """What one source gives: values by the setting's name, what is wrong, and what its owner should know."""

    values: dict[str, Given] = field(default_factory=dict[str, Given])
    problems: list[SettingProblem] = field(default_factory=list[SettingProblem])
    warnings: list[str] = field(default_factory=list[str])

    def put(self, setting: Setting, value: object, origin: Origin, folder: Path | None = None) -> None:
        """Take in one value; a path that is not absolute is one in `folder`."""
        if setting.is_path and isinstance(value, str):
            if not value:
                return
            value = _path(value, folder)
        self.values[setting.name] = Given(value, origin)

    def put_old(self, table: Mapping[str, Setting], name: str, legacy: Legacy, value: object, origin: Origin) -> None:
        """Take in the value of a known name of the earlier server, and tell what it is called now."""
        variable = origin.kind is OriginKind.ENVIRONMENT
        self.warnings.append(renamed(name if variable else f"{origin}: {name}", legacy, as_variable=variable))
        if legacy.gone:
            return
        for key, converted in legacy.convert(value).items():
            self.put(table[key or legacy.setting], converted, origin)


def file_layer(file: ConfigFile, table: Mapping[str, Setting]) -> Layer:
    """What a file gives. Sections of the earlier server's file are known, with a warning for each name."""
    layer = Layer()
    sections = {setting.section for setting in table.values()} - {""}
    for key, value in file.data.items():
        if len(layer.problems) >= _MOST_PROBLEMS:
            break
        if key in table:
            layer.put(table[key], value, file.origin(key), file.path.parent)
        elif key not in sections | _OLD_SECTIONS:
            known = [*sorted(sections), *(name for name in table if "." not in name)]
            layer.problems.append(unknown_name(key, value, file.origin(key), known))
        elif isinstance(value, dict):
            _take_section(layer, file, table, key, cast("dict[str, object]", value))
        else:
            names = ", ".join(_names_in(table, key)) or key
            problem = SettingProblem(key, str(value), f"it is a section with the settings {names}", file.origin(key))
            layer.problems.append(problem)
    return layer


def _take_section(
    layer: Layer, file: ConfigFile, table: Mapping[str, Setting], section: str, values: Mapping[str, object]
) -> None:
    for key, value in values.items():
        if len(layer.problems) >= _MOST_PROBLEMS:
            break
        name, origin = f"{section}.{key}", file.origin(section, key)
        if name == "logging.format" and "%" in str(value):
            layer.put_old(table, name, _LOG_FORMAT_GONE, value, origin)
        elif name in table:
            layer.put(table[name], value, origin, file.path.parent)
        elif name in LEGACY_SECTIONS:
            layer.put_old(table, name, LEGACY_SECTIONS[name], value, origin)
        else:
            layer.problems.append(unknown_name(name, value, origin, _names_in(table, section) or list(table)))


def environment_layer(environ: Mapping[str, str], table: Mapping[str, Setting]) -> Layer:
    """What the variables give: `TRACEFUSE_*`, and below them the known `MCP_*` with a warning for each."""
    layer = Layer()
    given = {name.upper(): text for name, text in environ.items() if name.upper().startswith((PREFIX, "MCP_"))}
    for variable, legacy in LEGACY_VARIABLES.items():
        if variable in given:
            origin = Origin(OriginKind.ENVIRONMENT, variable)
            layer.put_old(table, variable, legacy, given[variable], origin)
    by_variable = {setting.variable: setting for setting in table.values()}
    for variable, text in given.items():
        origin = Origin(OriginKind.ENVIRONMENT, variable)
        if variable in by_variable:
            _take_text(layer, by_variable[variable], text, origin)
        elif variable.startswith(PREFIX) and variable not in _NO_SETTINGS:
            _take_unknown_variable(layer, table, variable, text, origin)
    return layer


def _take_unknown_variable(
    layer: Layer, table: Mapping[str, Setting], variable: str, text: str, origin: Origin
) -> None:
    section, _, rest = variable.removeprefix(PREFIX).lower().partition("_")
    names = _names_in(table, section)
    if names and rest:
        problem = unknown_name(f"{section}.{rest}", text, origin, names)
        layer.problems.append(problem)
    elif names:
        variables = ", ".join(table[name].variable for name in names)
        layer.problems.append(SettingProblem(section, text, f"it is a group of settings: {variables}", origin))
    elif likely := nearest(variable.removeprefix(PREFIX), [s.variable.removeprefix(PREFIX) for s in table.values()]):
        # No section of ours, so it may be somebody else's: a word is enough.
        layer.warnings.append(f"{variable} is no setting and has no effect; did you mean {PREFIX}{likely}?")


def command_line_layer(overrides: Mapping[str, object], table: Mapping[str, Setting]) -> Layer:
    """What `--set NAME=VALUE` gives; a value that is no text is taken as it is."""
    layer = Layer()
    for name, value in overrides.items():
        origin = Origin(OriginKind.COMMAND_LINE, f"--set {name}")
        setting = table.get(name)
        if setting is None:
            layer.problems.append(unknown_name(name, value, origin, _names_in(table, name.partition(".")[0]) or table))
        elif isinstance(value, str):
            _take_text(layer, setting, value, origin)
        else:
            layer.put(setting, value, origin)
    return layer


def _take_text(layer: Layer, setting: Setting, text: str, origin: Origin) -> None:
    """Take in a value as it is written in a variable; a table of names is JSON there."""
    if not setting.is_mapping:
        layer.put(setting, text, origin)
        return
    try:
        layer.put(setting, json.loads(text), origin)
    except (ValueError, RecursionError):
        example = example_of(setting, origin.kind)
        layer.problems.append(SettingProblem(setting.name, text[:80], "it is JSON", origin, example))


def _path(text: str, folder: Path | None) -> Path:
    path = Path(text)
    try:
        path = path.expanduser()
    except RuntimeError:
        # There is no such user, so it is a name like any other.
        return path
    return path if folder is None else folder / path


def _names_in(table: Mapping[str, Setting], section: str) -> list[str]:
    return [name for name, setting in table.items() if setting.section == section]


def merged(*layers: Layer) -> Layer:
    """All of `layers` as one; of two values for one setting the later stays."""
    whole = Layer()
    for layer in layers:
        whole.values |= layer.values
        whole.problems += layer.problems
        whole.warnings += layer.warnings
    return whole
