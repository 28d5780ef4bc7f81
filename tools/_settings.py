"""Settings: one typed model, read from a file, the environment and the command line, refused whole when one is bad."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ._config_errors import Origin, OriginKind, SettingProblem, SettingsError, unusable_value
from ._config_file import find_config_file, read_config_file
from ._config_layers import Given, Layer, command_line_layer, environment_layer, file_layer, merged
from ._legacy_environ import CONFIG_VARIABLES
from ._settings_model import SETTINGS, Settings, user_folder
from ._settings_sections import (
    AlertSettings,
    BreakerSettings,
    DiscoverySettings,
    HealthSettings,
    HistorySettings,
    LoggingSettings,
    NmapSettings,
    PolicySettings,
    QueueSettings,
    RetrySettings,
    ScheduleSettings,
    ServeSettings,
    SidecarSettings,
    TelemetrySettings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

    from ._config_file import ConfigFile

__all__ = [
    "SETTINGS",
    "AlertSettings",
    "BreakerSettings",
    "ConfigSource",
    "Configuration",
    "DiscoverySettings",
    "HealthSettings",
    "HistorySettings",
    "LoggingSettings",
    "NmapSettings",
    "PolicySettings",
    "QueueSettings",
    "RetrySettings",
    "ScheduleSettings",
    "ServeSettings",
    "Settings",
    "SettingsError",
    "SettingsWarning",
    "SidecarSettings",
    "TelemetrySettings",
    "digest",
    "load_configuration",
    "load_settings",
]


_ORDER: Final = list(OriginKind)


class SettingsWarning(FutureWarning):
    """A configuration works, and its owner should change something in it; a name that became another, say."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings, and where each of them comes from.

    Attributes:
        settings: the values in force.
        origins: where each value comes from that is no default, by the setting's name.
        file: the file that was read, or None.
        warnings: what its owner should change, one line each.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Twelve hex digits that are the same for the same values, wherever those come from."""
        return digest(self.settings)

    def origin(self, name: str) -> Origin:
        """Where the setting `name` comes from."""
        return self.origins.get(name, Origin(OriginKind.DEFAULT))


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where a configuration is read from, again and again; see `load_configuration` for the parts."""

    file: Path | None = None
    overrides: Mapping[str, object] = field(default_factory=dict[str, object])
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def load(self) -> Configuration:
        """Read it now. Raises what `load_configuration` raises."""
        return load_configuration(self.file, self.overrides, self.environ)

    def pinned(self) -> ConfigSource:
        """The same with the file that is used now, so that it is missed and not passed over when it goes away."""
        return replace(self, file=_chosen_file(self.file, self.environ)[0])


def digest(settings: Settings) -> str:
    """Twelve hex digits of SHA-256 over the values.

    >>> digest(Settings(breaker=BreakerSettings(failure_threshold=3))) == digest(Settings())
    False
    """
    values = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(values.encode()).hexdigest()[:12]


def load_settings(
    file: str | Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Read the settings; see `load_configuration`, which also tells where they come from.

    What its owner should change is told as `SettingsWarning`.

    Raises:
        SettingsError: a value is out of range, of the wrong kind, or there is no such setting.
        MissingExtraError: the file is YAML, and the extra `yaml` is not installed.

    >>> load_settings(environ={"TRACEFUSE_CONFIG": "", "TRACEFUSE_QUEUE_TOTAL": "2"}).queue.total
    2
    """
    configuration = load_configuration(file, overrides, environ)
    for text in configuration.warnings:
        warnings.warn(text, SettingsWarning, stacklevel=2)
    return configuration.settings


def load_configuration(
    file: str | Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Configuration:
    """Read the file, the environment and `overrides`, each weighing more than the one before.

    The file is `file`, else what `TRACEFUSE_CONFIG` names (nothing when that is empty), else
    `tracefuse/tracefuse.toml` in the user's configuration folder if there is one. `overrides` are values by
    name, `{"policy.max_addresses": 10}`; a text is read as in a variable.

    Raises:
        SettingsError: with all that is wrong in `problems`; nothing of it is used then.
        MissingExtraError: the file is YAML, and the extra `yaml` is not installed.
    """
    path, notes = _chosen_file(file, environ)
    content = None if path is None else read_config_file(path)
    below = Layer() if content is None else file_layer(content, SETTINGS)
    layer = merged(below, environment_layer(environ, SETTINGS), command_line_layer(overrides or {}, SETTINGS))
    settings, problems = _validated(layer.values, environ, content)
    if settings is None or layer.problems:
        raise SettingsError.of(sorted([*layer.problems, *problems], key=_place))
    origins = {name: given.origin for name, given in layer.values.items()}
    return Configuration(settings, origins, path, (*notes, *layer.warnings))


def _place(problem: SettingProblem) -> tuple[int, int]:
    return _ORDER.index(problem.origin.kind), problem.origin.line or 0


def _chosen_file(file: str | Path | None, environ: Mapping[str, str]) -> tuple[Path | None, list[str]]:
    if file is not None:
        return Path(file), []
    for variable in CONFIG_VARIABLES:
        if variable in environ:
            old = variable != CONFIG_VARIABLES[0] and environ[variable]
            notes = [f"{variable} is deprecated: use {CONFIG_VARIABLES[0]}"] if old else []
            return (Path(environ[variable]).expanduser() if environ[variable] else None), notes
    return find_config_file(environ), []


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


def _validated(
    values: Mapping[str, Given], environ: Mapping[str, str], file: ConfigFile | None
) -> tuple[Settings | None, list[SettingProblem]]:
    """The settings with `values`, or all that is wrong with them."""
    problems = [_no_number(name, given) for name, given in values.items() if _is_misplaced_bool(name, given)]
    try:
        loaded = _OnlyGiven.model_validate({**_folders(environ, values), **_tree(values)})
    except ValidationError as error:
        for details in error.errors():
            problem = _problem(details, values, file)
            if problem.setting not in {known.setting for known in problems}:
                problems.append(problem)
        return None, problems
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
