"""Settings: one typed model, read from `TRACEFUSE_*` variables, refused whole when one is bad."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingsError

from ._settings_sections import (
    RESTART,
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
    Section,
    ServeSettings,
    SidecarSettings,
    TelemetrySettings,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "AlertSettings",
    "BreakerSettings",
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
    "SidecarSettings",
    "TelemetrySettings",
    "load_settings",
]

_PREFIX = "TRACEFUSE_"


def _folder(variable: str, below_home: str) -> Path:
    """The user's folder by the XDG Base Directory Specification."""
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / below_home) / "tracefuse"


def _cache_dir() -> Path:
    return _folder("XDG_CACHE_HOME", ".cache")


def _state_dir() -> Path:
    return _folder("XDG_STATE_HOME", ".local/state")


class Settings(BaseSettings):
    """Everything that can be set. `TRACEFUSE_BREAKER_FAILURE_THRESHOLD=3` sets `breaker.failure_threshold`.

    >>> Settings(breaker=BreakerSettings(failure_threshold=3)).breaker.failure_threshold
    3
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="_", env_nested_max_split=1, frozen=True, extra="ignore"
    )

    cache_dir: Annotated[Path, RESTART] = Field(
        default_factory=_cache_dir,
        description="nmap's working folders, one per run, removed afterwards; by default in `~/.cache`",
    )
    state_dir: Annotated[Path, RESTART] = Field(
        default_factory=_state_dir,
        description="what outlives the process: history, schedules, breaker states; by default in `~/.local/state`",
    )
    templates: dict[str, str] = Field(
        default={}, description="templates of your own: a name and nmap's arguments; checked by the same policy"
    )
    nmap: NmapSettings = NmapSettings()
    policy: PolicySettings = PolicySettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    queue: QueueSettings = QueueSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    serve: ServeSettings = ServeSettings()
    history: HistorySettings = HistorySettings()
    schedule: ScheduleSettings = ScheduleSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    health: HealthSettings = HealthSettings()
    alerts: AlertSettings = AlertSettings()
    logging: LoggingSettings = LoggingSettings()
    sidecar: SidecarSettings = SidecarSettings()

    @property
    def history_file(self) -> Path:
        """Where scans and their results are kept."""
        return self.state_dir / "history.sqlite3"

    @property
    def schedule_file(self) -> Path:
        """Where schedules are kept."""
        return self.state_dir / "schedules.sqlite3"

    @property
    def breaker_file(self) -> Path:
        """Where the breakers' states outlive the process."""
        return self.state_dir / "breakers.sqlite3"


class SettingsError(ValueError):
    """A setting cannot be used: `variable` and `value` as given, `expected` what would be right."""

    def __init__(self, variable: str, value: str, expected: str) -> None:
        self.variable = variable
        self.value = value
        self.expected = expected
        super().__init__(variable, value, expected)

    def __str__(self) -> str:
        return f"{self.variable}={self.value!r} cannot be used: {self.expected}"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a value is out of range, of the wrong kind, or a section has no such setting.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise _explain(error.errors()[0]) from error
    except UnreadableSettingsError as error:
        raise _section_error() from error


def _explain(details: ErrorDetails) -> SettingsError:
    location = [str(part) for part in details["loc"] if isinstance(part, str)]
    parent, default = _default(location[:-1]), _default(location)
    if details["type"] == "extra_forbidden":
        known = _names(location[:-1], parent)
        return SettingsError(_variable(location), str(details["input"]), f"there is no such setting; there are {known}")
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    example = "" if default in (None, ()) else f"; for example {_variable(location)}={_shown(default)}"
    return SettingsError(_variable(location), str(details["input"]), message + example)


def _section_error() -> SettingsError:
    """A variable that cannot be read at all: a group's own name (`TRACEFUSE_NMAP=...`), or broken JSON."""
    for section, field in Settings.model_fields.items():
        variable = _variable([section])
        if variable not in os.environ:
            continue
        if isinstance(field.default, Section):
            known = _names([section], field.default)
            return SettingsError(variable, os.environ[variable], f"it is a group of settings: {known}")
        if isinstance(field.default, dict):
            return SettingsError(variable, os.environ[variable], 'it is JSON, for example {"web": "-sV -p 80,443"}')
    return SettingsError(_PREFIX + "*", "", "one of these variables cannot be read")


def _names(location: list[str], section: BaseModel) -> str:
    return ", ".join(_variable([*location, name]) for name in type(section).model_fields)


def _default(location: list[str]) -> Any:
    value: Any = Settings.model_construct()
    for part in location:
        value = getattr(value, part, None)
    return value


def _variable(location: list[str]) -> str:
    return _PREFIX + "_".join(location).upper()


def _shown(value: object) -> str:
    return ",".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)
