"""Names, instruments, SDK set-up and the pull reader: how Tracefuse tells what it does.

Importing this package loads only the OpenTelemetry API. What needs the SDK or an exporter
(`configure`, `Telemetry`, ...) is loaded when it is first asked for.
"""

from __future__ import annotations

from ._events import SeverityNumber, emit_event, log_event
from ._instrumentation import Instrumentation, package_version
from ._names import DURATION_BOUNDARIES, INSTRUMENTS, SCOPE, Attribute, Event, Instrument, InstrumentKind, Span
from ._spans import error_type, fail_span, operation_span

__all__ = [
    "DURATION_BOUNDARIES",
    "INSTRUMENTS",
    "SCOPE",
    "Attribute",
    "Event",
    "Instrument",
    "InstrumentKind",
    "Instrumentation",
    "SeverityNumber",
    "Span",
    "emit_event",
    "error_type",
    "fail_span",
    "log_event",
    "operation_span",
    "package_version",
]
