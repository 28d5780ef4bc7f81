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
    from ._app import App, CompletedScan, build
    from ._errors import (
        MissingExtraError,
        ToolError,
        ToolErrorType,
        ToolExecutionError,
        ToolNotFoundError,
        ToolTimeoutError,
    )
    from ._known_io import ErrorContext, ToolInput, ToolOutput
    from ._local import spawn
    from ._policy import Policy, PolicyError, PolicyViolation, Rule
    from ._process import Command, Exit
    from ._runner import Completed, Runner
    from ._settings import (
        BreakerSettings,
        NmapSettings,
        PolicySettings,
        RetrySettings,
        ServeSettings,
        Settings,
        SettingsError,
        TelemetrySettings,
        load_settings,
    )
    from ._tool import Caller, CallerKind, Tool
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
    "Exit",
    "MissingExtraError",
    "NmapSettings",
    "NmapTool",
    "Policy",
    "PolicyError",
    "PolicySettings",
    "PolicyViolation",
    "RetrySettings",
    "Rule",
    "Runner",
    "ScanRequest",
    "ScanResult",
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
    "ToolTimeoutError",
    "build",
    "load_settings",
    "parse_nmap_output",
    "spawn",
]

_HOMES = {
    "._app": ("App", "CompletedScan", "build"),
    "._errors": (
        "MissingExtraError",
        "ToolError",
        "ToolErrorType",
        "ToolExecutionError",
        "ToolNotFoundError",
        "ToolTimeoutError",
    ),
    "._known_io": ("ErrorContext", "ToolInput", "ToolOutput"),
    "._local": ("spawn",),
    "._policy": ("Policy", "PolicyError", "PolicyViolation", "Rule"),
    "._process": ("Command", "Exit"),
    "._runner": ("Completed", "Runner"),
    "._settings": (
        "BreakerSettings",
        "NmapSettings",
        "PolicySettings",
        "RetrySettings",
        "ServeSettings",
        "Settings",
        "SettingsError",
        "TelemetrySettings",
        "load_settings",
    ),
    "._tool": ("Caller", "CallerKind", "Tool"),
    ".nmap": ("ScanRequest", "ScanResult", "ScanTemplate", "parse_nmap_output"),
    ".nmap._known_tool": ("NmapTool",),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
