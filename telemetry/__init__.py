"""Names, instruments, SDK set-up and the pull reader: how Tracefuse tells what it does.

Importing this package loads only the OpenTelemetry API. What needs the SDK or an exporter
(`configure`, `Telemetry`, ...) is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._alert_rules import DEFAULT_ALERT_RULES, AlertRule, AlertState, AlertStatus
from ._alerts import AlertChange, AlertEngine
from ._config import TelemetryConfig
from ._correlation import Correlation, MetricHistory, correlate, correlation, correlation_table
from ._environ import ConfigurationError
from ._events import SeverityNumber, emit_event, log_event
from ._exports import MetricExportFormat
from ._health import HealthCheckPriority, HealthCheckResult, HealthStatus, SystemHealth
from ._health_checks import breaker_check, executable_check, exporter_check, writable_check
from ._health_monitor import HealthMonitor
from ._instrumentation import Instrumentation, package_version
from ._instruments import ScanInstruments, ToolInstruments
from ._log_context import current_log_context, in_context, log_context
from ._log_format import ConsoleFormatter, JsonFormatter
from ._log_rate import RateLimitFilter
from ._logging import OtelLogHandler
from ._logging_setup import LoggingSetup, configure_logging
from ._manager import MetricsManager
from ._names import DURATION_BOUNDARIES, INSTRUMENTS, SCOPE, Attribute, Event, Instrument, InstrumentKind, Span
from ._redaction import redact
from ._sanitize import METRIC_ERROR_TYPES, TOOL_ERROR_TYPES, sanitize_metric_value
from ._shutdown import ShutdownReport
from ._snapshots import MetricSnapshot
from ._spans import error_type, fail_span, operation_span
from ._system_metrics import SystemMetrics
from ._tool_execution import ToolExecutionMetrics
from ._tool_metrics import ToolMetrics
from ._windows import WindowStats

if TYPE_CHECKING:
    from ._legacy import PrometheusMetrics, PrometheusRegistry
    from ._prometheus import Exposition, PrometheusReader
    from ._setup import Telemetry, configure

__all__ = [  # noqa: RUF022 - in Python's own order, which a test checks
    "AlertChange",
    "AlertEngine",
    "AlertRule",
    "AlertState",
    "AlertStatus",
    "Attribute",
    "ConfigurationError",
    "ConsoleFormatter",
    "Correlation",
    "DEFAULT_ALERT_RULES",
    "DURATION_BOUNDARIES",
    "Event",
    "Exposition",
    "HealthCheckPriority",
    "HealthCheckResult",
    "HealthMonitor",
    "HealthStatus",
    "INSTRUMENTS",
    "Instrument",
    "InstrumentKind",
    "Instrumentation",
    "JsonFormatter",
    "LoggingSetup",
    "METRIC_ERROR_TYPES",
    "MetricExportFormat",
    "MetricHistory",
    "MetricSnapshot",
    "MetricsManager",
    "OtelLogHandler",
    "PrometheusMetrics",
    "PrometheusReader",
    "PrometheusRegistry",
    "RateLimitFilter",
    "SCOPE",
    "ScanInstruments",
    "SeverityNumber",
    "ShutdownReport",
    "Span",
    "SystemHealth",
    "SystemMetrics",
    "TOOL_ERROR_TYPES",
    "Telemetry",
    "TelemetryConfig",
    "ToolExecutionMetrics",
    "ToolInstruments",
    "ToolMetrics",
    "WindowStats",
    "breaker_check",
    "configure",
    "configure_logging",
    "correlate",
    "correlation",
    "correlation_table",
    "current_log_context",
    "emit_event",
    "error_type",
    "executable_check",
    "exporter_check",
    "fail_span",
    "in_context",
    "log_context",
    "log_event",
    "operation_span",
    "package_version",
    "redact",
    "sanitize_metric_value",
    "writable_check",
]

_LAZY = {
    "Exposition": "._prometheus",
    "PrometheusMetrics": "._legacy",
    "PrometheusReader": "._prometheus",
    "PrometheusRegistry": "._legacy",
    "Telemetry": "._setup",
    "configure": "._setup",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)
