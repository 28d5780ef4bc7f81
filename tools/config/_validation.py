"""Values of all sources together, brought into the model; or all that is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ._errors import Origin, OriginKind, SettingProblem, SettingsError, unusable_value
from ._layers import Given
from ._model import SETTINGS, Settings, user_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

    from ._file import ConfigFile

__all__ = ["validated"]

_MOST_PROBLEMS: Final = 100
"""Mistakes of one kind that are told; who has more does not read them."""


class _OnlyGiven(Settings):
    """The same model, without a look at the environment of the process: the layers have been."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def validated(
    values: Mapping[str, Given], environ: Mapping[str, str], file: ConfigFile | None
) -> tuple[Settings | None, list[SettingProblem]]:
    """The settings with `values`, or all that is wrong with them."""
    problems = [_no_number(name, given) for name, given in values.items() if _is_misplaced_bool(name, given)]
    try:
        loaded = _OnlyGiven.model_validate({**_folders(environ, values), **_tree(values)})
    except ValidationError as error:
        found = {problem.setting: problem for problem in problems}
        for details in islice(error.errors(), _MOST_PROBLEMS):
            problem = _problem(details, values, file)
            found.setdefault(problem.setting, problem)
        return None, list(found.values())
    except SettingsError as error:
        return None, [*problems, *error.problems]
    return (None if problems else Settings.model_construct(**dict(loaded))), problems


def _problem(details: ErrorDetails, values: Mapping[str, Given], file: ConfigFile | None) -> SettingProblem:
    name = _name_of(details["loc"])
    setting, given = SETTINGS[name], values.get(name, Given("", Origin(OriginKind.DEFAULT)))
    if not setting.is_mapping:
        return unusable_value(setting, details, given.value, given.origin)
    # Of a table of names say which one it is, and where.
    path = tuple(part for part in details["loc"] if isinstance(part, str))
    origin = given.origin
    if file is not None and origin.kind is OriginKind.FILE:
        origin = next((found for end in range(len(path), 0, -1) if (found := file.origin(*path[:end])).line), origin)
    problem = unusable_value(setting, details, details["input"], origin)
    return replace(problem, setting=".".join(path))


def _is_misplaced_bool(name: str, given: Given) -> bool:
    """True is the number 1 for Python and for pydantic, and nobody means it."""
    return SETTINGS[name].is_number and isinstance(given.value, bool)


def _no_number(name: str, given: Given) -> SettingProblem:
    setting = SETTINGS[name]
    details: Any = {"type": "number", "msg": "it should be a number"}
    return unusable_value(setting, details, given.value, given.origin)


def _folders(environ: Mapping[str, str], values: Mapping[str, Given]) -> dict[str, Path]:
    """The folders that are nobody's choice, by the environment that was given and not the process's."""
    chosen = {"cache_dir": ("XDG_CACHE_HOME", ".cache"), "state_dir": ("XDG_STATE_HOME", ".local/state")}
    try:
        return {name: user_folder(environ, *where) for name, where in chosen.items() if name not in values}
    except RuntimeError as error:
        expected = "this user has no home folder; for example TRACEFUSE_CACHE_DIR=/tmp/tracefuse"
        origin = Origin(OriginKind.DEFAULT, "TRACEFUSE_CACHE_DIR and TRACEFUSE_STATE_DIR")
        raise SettingsError.of([SettingProblem("cache_dir", "", expected, origin)]) from error


def _tree(values: Mapping[str, Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, given in values.items():
        section, _, key = name.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[key] = given.value
    return tree


def _name_of(location: tuple[int | str, ...]) -> str:
    """The setting's name of a place in the model; what is deeper is a part of its value."""
    first = str(location[0])
    return first if first in SETTINGS else f"{first}.{location[1]}"
