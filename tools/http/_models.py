"""What goes in and out over HTTP, as models: requests are checked against them, and the OpenAPI document shows both."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 (pydantic reads it at run time)
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints

__all__ = [
    "SCAN_ID",
    "BreakerBody",
    "BreakersBody",
    "ChangesBody",
    "ConfigBody",
    "DiffQuery",
    "DiscoveryQuery",
    "ExecuteBody",
    "HealthBody",
    "IndexBody",
    "MetricsQuery",
    "ProbeBody",
    "ProblemBody",
    "ResultBody",
    "ScanBody",
    "ScanSummary",
    "ScanView",
    "ScansBody",
    "ScansQuery",
    "ScheduleBody",
    "SchedulesBody",
    "TargetGroup",
    "TargetGroups",
    "ToolBody",
    "ToolSwitched",
    "ToolsBody",
]

State = Literal["queued", "running", "completed", "failed", "refused", "cancelled", "interrupted"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]*$")]
SCAN_ID = r"^[0-9a-f]{16}$"


class _Given(BaseModel):
    """What a client sends: nothing unknown, nothing guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Asked(BaseModel):
    """Parameters of a URL, which are texts."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Told(BaseModel):
    """What the service answers; more may come."""

    model_config = ConfigDict(extra="allow")


class ScanBody(_Given):
    """A scan to run. `wait` false answers at once, with where to find it."""

    targets: list[Text] = Field(min_length=1, max_length=64, examples=[["127.0.0.1"]])
    template: str = Field(default="quick", max_length=64)
    extra_args: str = Field(default="", max_length=65_536)
    exclude: list[Text] = Field(default=[], max_length=64)
    timeout: float | None = Field(default=None, gt=0, le=86_400)
    correlation_id: str | None = Field(default=None, max_length=64)
    wait: bool = True


class ExecuteBody(_Given):
    """One request to a tool, as known."""

    target: Text = Field(examples=["192.168.1.0/24"])
    extra_args: str = Field(default="", max_length=2_048)
    timeout_sec: float | None = Field(default=None, ge=1, le=3_600)
    correlation_id: str | None = Field(default=None, max_length=64)


class ScansQuery(_Asked):
    """Which scans are wanted; `before` is the `next` of an earlier page."""

    state: Literal["running", "completed", "failed", "refused", "cancelled", "interrupted"] | None = None
    template: Text | None = None
    target: Text | None = None
    caller: Text | None = None
    schedule: Text | None = None
    since: datetime | None = Field(default=None, description="Begun at this time or later; with a zone.")
    until: datetime | None = Field(default=None, description="Begun before this time; with a zone.")
    limit: int = Field(default=50, ge=1, le=1_000)
    before: int | None = Field(default=None, ge=1, le=2**53)


class DiffQuery(_Asked):
    """`with` is the scan to compare with; by default the last comparable one."""

    other: str | None = Field(default=None, alias="with", pattern=SCAN_ID)


class DiscoveryQuery(_Asked):
    """`port` is the port that the exporters listen on."""

    port: int = Field(ge=1, le=65_535, examples=[9100])


class MetricsQuery(_Asked):
    """`format=json` asks for the figures as data."""

    format: Literal["json", "text"] | None = None


class ProblemBody(_Told):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str


class IndexBody(_Told):
    """What there is."""

    service: str
    version: str
    paths: dict[str, str]


class HealthBody(_Told):
    """How the service is, check by check."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: str
    transport: str
    checks: dict[str, dict[str, Any]]
    summary: dict[str, int]


class ProbeBody(_Told):
    """The answer to a probe."""

    status: Literal["healthy", "degraded", "unhealthy"]
    checks: dict[str, str]


class ToolBody(_Told):
    """A tool, its limits and its state."""

    name: str
    command: str
    enabled: bool


class ToolsBody(_Told):
    """The tools."""

    tools: list[ToolBody]


class ToolSwitched(_Told):
    """Whether a tool takes requests."""

    name: str
    enabled: bool


class ScanView(_Told):
    """How a scan stands."""

    scan_id: str
    state: State
    caller: dict[str, Any]
    request: dict[str, Any]
    created: str
    started: str | None
    ended: str | None
    percent: float
    hosts_up: int | None
    ports_open: int | None
    error: dict[str, Any] | None
    trace_id: str | None


class ScanSummary(_Told):
    """A scan in the list."""

    scan_id: str
    state: State
    caller: dict[str, Any]
    request: dict[str, Any]
    begun: str
    ended: str | None


class ScansBody(_Told):
    """Scans, the newest first; `next` is where the next page begins."""

    scans: list[ScanSummary]
    next: int | None


class ResultBody(_Told):
    """The result of a scan; `report` is under its own schema, `tracefuse.report/1`."""

    schema_: Literal["tracefuse.scan/1"] = Field(alias="schema")
    report: dict[str, Any]


class ChangesBody(_Told):
    """What changed from one scan to another."""

    schema_: Literal["tracefuse.diff/1"] = Field(alias="schema")
    old: str
    new: str
    changes: list[dict[str, Any]]
    hosts_compared: int
    not_compared: list[str]


class BreakerBody(_Told):
    """A circuit breaker, as an operator sees it."""

    name: str
    state: str
    mode: str
    history: list[dict[str, Any]]


class BreakersBody(_Told):
    """The circuit breakers."""

    breakers: list[BreakerBody]


class ScheduleBody(_Told):
    """A schedule, with its last and its next run."""

    name: str


class SchedulesBody(_Told):
    """The schedules."""

    schedules: list[ScheduleBody]


class ConfigVersionBody(BaseModel):
    """Which configuration is in force: 1 at the start and one more with each reload, and a digest of its values."""

    number: int
    digest: str


class ConfigBody(_Told):
    """The settings in force, section by section, and which configuration that is."""

    version: ConfigVersionBody


class TargetGroup(BaseModel):
    """Targets for Prometheus, by its http_sd format."""

    targets: list[str]
    labels: dict[str, str]


class TargetGroups(RootModel[list[TargetGroup]]):
    """All targets."""
