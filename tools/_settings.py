"""Settings: one typed model, read from `TRACEFUSE_*` variables, refused whole when one is bad."""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingsError

from ._policy import PRIVATE_NETWORKS

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


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _split(value: object) -> object:
    """Let a comma list stand for a tuple, as people write one in a variable."""
    return _parts(value) if isinstance(value, str) else value


def _networks(value: object) -> object:
    return tuple(map(ip_network, _parts(value))) if isinstance(value, str) else value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NmapSettings(_Section):
    """The program: where it is, seconds for one run of it and for one host, and the bytes it may write."""

    path: str = "nmap"
    timeout: float = Field(default=300.0, gt=0, le=86_400)
    host_timeout: float | None = Field(default=None, ge=1, le=86_400)
    grace: float = Field(default=2.0, ge=0, le=60)
    output_limit: int = Field(default=1_000_000_000, ge=100_000, le=1_000_000_000_000)


class QueueSettings(_Section):
    """How many scans run at once, in all and of one tool, and how many more may wait."""

    total: int = Field(default=8, ge=1, le=1000)
    per_tool: int = Field(default=4, ge=1, le=1000)
    length: int = Field(default=100, ge=0, le=100_000)


class PolicySettings(_Section):
    """What may be scanned; by default loopback, RFC 1918 and unique-local IPv6."""

    networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)] = PRIVATE_NETWORKS
    domains: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = (".lab.internal",)
    max_addresses: int = Field(default=1024, ge=1, le=1_048_576)
    allow_intrusive: bool = False


class RetrySettings(_Section):
    """How often a failed run is tried, the first try included, and the first wait in seconds."""

    attempts: int = Field(default=2, ge=1, le=10)
    wait: float = Field(default=0.5, gt=0, le=300)


class BreakerSettings(_Section):
    """When the circuit opens, and for how many seconds."""

    failure_threshold: int = Field(default=5, ge=1, le=1000)
    recovery_timeout: float = Field(default=60.0, gt=0, le=86_400)


class TelemetrySettings(_Section):
    """What goes beyond the standard `OTEL_*` variables.

    `trace_url` is a link to one trace in the backend, with `{trace_id}` in it. Targets and command
    lines leave the process only where this allows it.
    """

    trace_url: str | None = None
    record_arguments: bool = False
    redact_targets: bool = False
    shutdown_deadline: float = Field(default=5.0, gt=0, le=60)


class ServeSettings(_Section):
    """Where `tracefuse serve` listens, whom it lets in, and how much of it one client may take.

    `grace` is the seconds that running scans get to finish at the end, `body_limit` bytes,
    `request_timeout` seconds for a request that is no scan, `rate` requests a minute for each client and
    tool, `max_requests` how many are served at once. `insecure` allows plain text off loopback.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    mcp: Literal["off", "http", "stdio"] = "off"
    grace: int = Field(default=10, ge=0, le=600)
    tokens_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    body_limit: int = Field(default=65_536, ge=1_024, le=16_777_216)
    request_timeout: float = Field(default=10.0, gt=0, le=600)
    rate: int = Field(default=60, ge=1, le=1_000_000)
    max_requests: int = Field(default=2_000, ge=1, le=100_000)


class HistorySettings(_Section):
    """How long finished scans are kept (days), and how many bytes they may take in all."""

    max_age: float = Field(default=90.0, gt=0, le=36_500)
    max_bytes: int = Field(default=1_000_000_000, ge=1_000_000, le=1_000_000_000_000)


class ScheduleSettings(_Section):
    """Whether scheduled scans are run, how many of them at once, and how late (seconds) one still counts as on time."""

    enabled: bool = True
    concurrency: int = Field(default=2, ge=1, le=1000)
    missed_after: float = Field(default=60.0, gt=0, le=86_400)


class DiscoverySettings(_Section):
    """Whether `/sd` offers what scans found to Prometheus as targets, and seconds after which it is too old."""

    enabled: bool = False
    max_age: float = Field(default=86_400.0, gt=0, le=31_536_000)


class HealthSettings(_Section):
    """How often the health checks run, and how long one may take, in seconds."""

    interval: float = Field(default=15.0, gt=0, le=3_600)
    timeout: float = Field(default=5.0, gt=0, le=60)


class AlertSettings(_Section):
    """Whether the alert rules are evaluated in the process, and how often, in seconds."""

    enabled: bool = True
    interval: float = Field(default=15.0, gt=0, le=3_600)


class LoggingSettings(_Section):
    """What the service logs on standard error: from which level on, as JSON lines or for people."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "console"


class SidecarSettings(_Section):
    """Whether `tracefuse serve` starts a collector beside itself; by default one that is found, as it is shipped."""

    enabled: bool = False
    path: str | None = None
    config: Path | None = None


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

    cache_dir: Path = Field(default_factory=_cache_dir)
    state_dir: Path = Field(default_factory=_state_dir)
    templates: dict[str, str] = {}
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
        if isinstance(field.default, _Section):
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
