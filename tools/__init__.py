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
    from ._stream import EventStream
    from ._tool import Caller, CallerKind, Tool
    from .config._settings import (
        BreakerSettings,
        NmapSettings,
        PolicySettings,
        QueueSettings,
        RetrySettings,
        ServeSettings,
        Settings,
        SettingsError,
        TelemetrySettings,
        load_settings,
    )
    from .nmap import ScanRequest, ScanResult, ScanTemplate, parse_nmap_output
    from .nmap._known_tool import NmapTool

__all__ = [
    "App",
    "BreakerSettings",
    "Caller",
    "CallerKind",
    "Command",
    "Completed",
    "CompletedScan",
    "ErrorContext",
    "EventStream",
    "Exit",
    "MissingExtraError",
    "NmapSettings",
    "NmapTool",
    "Places",
    "Policy",
    "PolicyError",
    "PolicySettings",
    "PolicyViolation",
    "QueueFullError",
    "QueueLimits",
    "QueueSettings",
    "Queued",
    "RetrySettings",
    "Rule",
    "Runner",
    "ScanRequest",
    "ScanResult",
    "ScanStream",
    "ScanTemplate",
    "ServeSettings",
    "Settings",
    "SettingsError",
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
    "WaitReason",
    "build",
    "load_settings",
    "parse_nmap_output",
    "spawn",
]

_HOMES = {
    "._app": ("App", "CompletedScan", "ScanStream", "build"),
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
    "._known_io": ("ErrorContext", "ToolInput", "ToolOutput"),
    "._local": ("spawn",),
    "._policy": ("Policy", "PolicyError", "PolicyViolation", "Rule"),
    "._process": ("Command", "Exit"),
    "._places": ("Places",),
    "._queue": ("QueueLimits", "Queued", "WaitReason"),
    "._runner": ("Completed", "Runner"),
    ".config._settings": (
        "BreakerSettings",
        "NmapSettings",
        "PolicySettings",
        "QueueSettings",
        "RetrySettings",
        "ServeSettings",
        "Settings",
        "SettingsError",
        "TelemetrySettings",
        "load_settings",
    ),
    "._stream": ("EventStream",),
    "._tool": ("Caller", "CallerKind", "Tool"),
    ".nmap": ("ScanRequest", "ScanResult", "ScanTemplate", "parse_nmap_output"),
    ".nmap._known_tool": ("NmapTool",),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
