"""Names, instruments, SDK set-up and the pull reader: how Tracefuse tells what it does.

Importing this package loads only the OpenTelemetry API. What needs the SDK or an exporter
(`configure`, `Telemetry`, ...) is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._config import TelemetryConfig
from ._environ import ConfigurationError
from ._events import SeverityNumber, emit_event, log_event
from ._instrumentation import Instrumentation, package_version
from ._instruments import TOOL_ERROR_TYPES, ScanInstruments, ToolInstruments
from ._logging import OtelLogHandler
from ._names import DURATION_BOUNDARIES, INSTRUMENTS, SCOPE, Attribute, Event, Instrument, InstrumentKind, Span
from ._shutdown import ShutdownReport
from ._spans import error_type, fail_span, operation_span

if TYPE_CHECKING:
    from ._prometheus import Exposition, PrometheusReader
    from ._setup import Telemetry, configure

__all__ = [  # noqa: RUF022 - in Python's own order, which a test checks
    "Attribute",
    "ConfigurationError",
    "DURATION_BOUNDARIES",
    "Event",
    "Exposition",
    "INSTRUMENTS",
    "Instrument",
    "InstrumentKind",
    "Instrumentation",
    "OtelLogHandler",
    "PrometheusReader",
    "SCOPE",
    "ScanInstruments",
    "SeverityNumber",
    "ShutdownReport",
    "Span",
    "TOOL_ERROR_TYPES",
    "Telemetry",
    "TelemetryConfig",
    "ToolInstruments",
    "configure",
    "emit_event",
    "error_type",
    "fail_span",
    "log_event",
    "operation_span",
    "package_version",
]

_LAZY = {
    "Exposition": "._prometheus",
    "PrometheusReader": "._prometheus",
    "Telemetry": "._setup",
    "configure": "._setup",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
