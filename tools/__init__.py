"""External commands under policy: what may run, how it runs, what came out of it.

Importing this package loads none of it; each name is loaded when it is first asked for, so that the
parser alone, or `tracefuse --help`, stays light.

>>> from tracefuse.tools import Policy
>>> Policy().max_addresses
1024
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._app import App, CompletedScan, ScanStream, build
    from ._errors import (
        MissingExtraError,
        QueueFullError,
        ToolError,
        ToolErrorType,
        ToolExecutionError,
        ToolNotFoundError,
        ToolResourceError,
        ToolTimeoutError,
    )
    from ._known_io import ErrorContext, ToolInput, ToolOutput
    from ._local import spawn
    from ._places import Places
    from ._policy import Policy, PolicyError, PolicyViolation, Rule
    from ._process import Command, Exit
    from ._queue import Queued, QueueLimits, WaitReason
    from ._runner import Completed, Runner
    from ._sqlite import StoreError
    from ._stream import EventStream
    from ._tool import Caller, CallerKind, Tool
    from .config._settings import (
        AlertSettings,
        BreakerSettings,
        Configuration,
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
        Settings,
        SettingsError,
        SettingsWarning,
        SidecarSettings,
        TelemetrySettings,
        load_configuration,
        load_settings,
    )
    from .history._history import History
    from .history._records import HistoryError, Page, Query, ScanState, StoredScan, UnknownScanError
    from .http._http import http_app
    from .jobs._events import JobEvent
    from .jobs._jobs import Jobs
    from .jobs._view import JobsClosedError, JobView
    from .nmap import ScanRequest, ScanResult, ScanTemplate, parse_nmap_output
    from .nmap._known_tool import NmapTool
    from .schedule._schedule import Cron, Every, Schedule, ScheduleError
    from .schedule._scheduler import Scheduler
    from .schedule._store import ScheduleStore
    from .service._service import Service, open_service

__all__ = [
    "AlertSettings",
    "App",
    "BreakerSettings",
    "Caller",
    "CallerKind",
    "Command",
    "Completed",
    "CompletedScan",
    "Configuration",
    "Cron",
    "DiscoverySettings",
    "ErrorContext",
    "EventStream",
    "Every",
    "Exit",
    "HealthSettings",
    "History",
    "HistoryError",
    "HistorySettings",
    "JobEvent",
    "JobView",
    "Jobs",
    "JobsClosedError",
    "LoggingSettings",
    "MissingExtraError",
    "NmapSettings",
    "NmapTool",
    "Page",
    "Places",
    "Policy",
    "PolicyError",
    "PolicySettings",
    "PolicyViolation",
    "Query",
    "QueueFullError",
    "QueueLimits",
    "QueueSettings",
    "Queued",
    "RetrySettings",
    "Rule",
    "Runner",
    "ScanRequest",
    "ScanResult",
    "ScanState",
    "ScanStream",
    "ScanTemplate",
    "Schedule",
    "ScheduleError",
    "ScheduleSettings",
    "ScheduleStore",
    "Scheduler",
    "ServeSettings",
    "Service",
    "Settings",
    "SettingsError",
    "SettingsWarning",
    "SidecarSettings",
    "StoreError",
    "StoredScan",
    "TelemetrySettings",
    "Tool",
    "ToolError",
    "ToolErrorType",
    "ToolExecutionError",
    "ToolInput",
    "ToolNotFoundError",
    "ToolOutput",
    "ToolResourceError",
    "ToolTimeoutError",
    "UnknownScanError",
    "WaitReason",
    "build",
    "http_app",
    "load_configuration",
    "load_settings",
    "open_service",
    "parse_nmap_output",
    "spawn",
]

_HOMES = {
    "._app": (
        "App",
        "CompletedScan",
        "ScanStream",
        "build",
    ),
    "._errors": (
        "MissingExtraError",
        "QueueFullError",
        "ToolError",
        "ToolErrorType",
        "ToolExecutionError",
        "ToolNotFoundError",
        "ToolResourceError",
        "ToolTimeoutError",
    ),
    "._known_io": (
        "ErrorContext",
        "ToolInput",
        "ToolOutput",
    ),
    "._local": ("spawn",),
    "._places": ("Places",),
    "._policy": (
        "Policy",
        "PolicyError",
        "PolicyViolation",
        "Rule",
    ),
    "._process": (
        "Command",
        "Exit",
    ),
    "._queue": (
        "QueueLimits",
        "Queued",
        "WaitReason",
    ),
    "._runner": (
        "Completed",
        "Runner",
    ),
    "._sqlite": ("StoreError",),
    "._stream": ("EventStream",),
    "._tool": (
        "Caller",
        "CallerKind",
        "Tool",
    ),
    ".nmap": (
        "ScanRequest",
        "ScanResult",
        "ScanTemplate",
        "parse_nmap_output",
    ),
    ".config._settings": (
        "AlertSettings",
        "BreakerSettings",
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
        "load_configuration",
        "load_settings",
    ),
    ".history._history": ("History",),
    ".history._records": (
        "HistoryError",
        "Page",
        "Query",
        "ScanState",
        "StoredScan",
        "UnknownScanError",
    ),
    ".http._http": ("http_app",),
    ".jobs._events": ("JobEvent",),
    ".jobs._jobs": ("Jobs",),
    ".jobs._view": (
        "JobView",
        "JobsClosedError",
    ),
    ".nmap._known_tool": ("NmapTool",),
    ".schedule._schedule": (
        "Cron",
        "Every",
        "Schedule",
        "ScheduleError",
    ),
    ".schedule._scheduler": ("Scheduler",),
    ".schedule._store": ("ScheduleStore",),
    ".service._service": (
        "Service",
        "open_service",
    ),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
