"""The model of all settings together, and the files that lie below its folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..schedule._settings import ScheduleEntry  # noqa: TC001 - pydantic reads the annotation
from ._sections import (
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
    ServeSettings,
    SidecarSettings,
    TelemetrySettings,
)
from ._table import PREFIX, setting_table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SETTINGS", "Settings", "user_folder"]


def user_folder(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    """The user's folder by the XDG Base Directory Specification."""
    base = environ.get(variable)
    return (Path(base) if base else Path.home() / below_home) / "tracefuse"


def _cache_dir() -> Path:
    return user_folder(os.environ, "XDG_CACHE_HOME", ".cache")


def _state_dir() -> Path:
    return user_folder(os.environ, "XDG_STATE_HOME", ".local/state")


class Settings(BaseSettings):
    """Everything that can be set. `TRACEFUSE_BREAKER_FAILURE_THRESHOLD=3` sets `breaker.failure_threshold`.

    >>> Settings(breaker=BreakerSettings(failure_threshold=3)).breaker.failure_threshold
    3
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="_", env_nested_max_split=1, frozen=True, extra="ignore"
    )

    cache_dir: Annotated[Path, RESTART] = Field(
        default_factory=_cache_dir,
        description="nmap's working folders, one per run, removed afterwards; by default in `~/.cache`",
        examples=["/var/cache/tracefuse"],
    )
    state_dir: Annotated[Path, RESTART] = Field(
        default_factory=_state_dir,
        description="what outlives the process: history, schedules, breaker states; by default in `~/.local/state`",
        examples=["/var/lib/tracefuse"],
    )
    templates: dict[str, str] = Field(
        default={},
        description="templates of your own: a name and nmap's arguments; checked by the same policy",
        examples=[{"web": "-sV -p 80,443"}],
    )
    schedules: dict[str, ScheduleEntry] = Field(
        default={},
        description="scans that the service runs again and again, by name; see docs/schedules.md",
        examples=[{"lab": {"targets": ("10.0.0.0/24",), "every": "6h"}}],
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


SETTINGS: Final = setting_table(Settings)
"""Every setting by its name."""
