"""Settings: one typed model, read from a file, the environment and the command line, refused whole when one is bad."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ._errors import Origin, OriginKind, SettingProblem, SettingsError
from ._file import find_config_file, read_config_file
from ._layers import Layer, command_line_layer, environment_layer, file_layer, merged
from ._legacy_environ import CONFIG_VARIABLES
from ._model import SETTINGS, Settings
from ._sections import (
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
from ._validation import validated

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    settings, problems = validated(layer.values, environ, content)
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
