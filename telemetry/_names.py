"""Every name that leaves the process: instruments, attributes, events, spans. One table.

Docs, dashboards, alert rules and tests are checked against this file, so a name exists here or
nowhere. The seven kept metrics carry the names, attribute keys, help texts and buckets that users
of `mcp_server.metrics` and `mcp_server.circuit_breaker` already have on their dashboards.

Why the units are what they are: `{annotation}` units and the empty unit leave no trace in a
Prometheus name, while "1" on a gauge becomes `_ratio` behind the collector and a free-text unit
becomes part of the name (OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DURATION_BOUNDARIES", "INSTRUMENTS", "SCOPE", "Attribute", "Event", "Instrument", "InstrumentKind", "Span"]

SCOPE: Final = "tracefuse"
"""Name of the instrumentation scope of everything Tracefuse emits."""

DURATION_BOUNDARIES: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)
"""Histogram boundaries in seconds: the known ones, then those a scan of minutes needs.

Floats on purpose: an int boundary is exposed as `le="1"` and breaks the known series `le="1.0"`.
"""

_MCP_BOUNDARIES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Attribute:
    """Attribute keys. Metric attributes take bounded sets of values; never a target, message or path."""

    TOOL: Final = "tool"
    STATUS: Final = "status"
    ERROR_TYPE: Final = "error.type"
    NAME: Final = "name"
    RESULT: Final = "result"
    STATE: Final = "state"
    KIND: Final = "kind"
    RULE: Final = "rule"
    REASON: Final = "reason"
    FROM_STATE: Final = "from_state"
    TO_STATE: Final = "to_state"
    RETRY_AFTER: Final = "retry_after"
    FAILURE_COUNT: Final = "failure_count"
    COUNT: Final = "count"
    POSITION: Final = "position"
    DURATION: Final = "duration"
    ADDRESS: Final = "address"
    PORT: Final = "port"
    OPEN_PORTS: Final = "ports.open"
    WAIT: Final = "wait"
    SEVERITY: Final = "severity"
    VALUE: Final = "value"
    THRESHOLD: Final = "threshold"
    MESSAGE: Final = "message"
    ERROR_DETAIL: Final = "tracefuse.error.detail"

    SCAN_ID: Final = "tracefuse.scan.id"
    SCAN_TEMPLATE: Final = "tracefuse.scan.template"
    TARGETS_COUNT: Final = "tracefuse.targets.count"
    POLICY_OUTCOME: Final = "tracefuse.policy.outcome"
    POLICY_RULE: Final = "tracefuse.policy.rule"
    CALLER_KIND: Final = "tracefuse.caller.kind"
    CALLER_NAME: Final = "tracefuse.caller.name"
    CONFIG_VERSION: Final = "tracefuse.config.version"
    CONFIG_DIGEST: Final = "tracefuse.config.digest"
    QUEUE_WAIT: Final = "tracefuse.queue.wait"
    QUEUE_REASON: Final = "tracefuse.queue.reason"
    HOSTS_UP: Final = "tracefuse.hosts.up"
    PORTS_OPEN: Final = "tracefuse.ports.open"
    CHANGES_COUNT: Final = "tracefuse.changes.count"
    COMPLETE: Final = "tracefuse.complete"
    INCOMPLETE_REASON: Final = "tracefuse.incomplete.reason"
    HOSTS_COUNT: Final = "tracefuse.hosts.count"
    ATTEMPT_NUMBER: Final = "attempt.number"
    ATTEMPT_WAIT: Final = "attempt.wait"
    ATTEMPT_PREVIOUS: Final = "attempt.previous_error"
    PHASE_NAME: Final = "tracefuse.phase.name"
    PHASE_INFO: Final = "tracefuse.phase.info"

    ENDUSER_ID: Final = "enduser.id"
    PROCESS_EXECUTABLE_NAME: Final = "process.executable.name"
    PROCESS_PID: Final = "process.pid"
    PROCESS_EXIT_CODE: Final = "process.exit.code"
    PROCESS_COMMAND_ARGS: Final = "process.command_args"
    MCP_METHOD: Final = "mcp.method.name"
    GEN_AI_TOOL: Final = "gen_ai.tool.name"
    MCP_PROTOCOL: Final = "mcp.protocol.version"

    HTTP_METHOD: Final = "http.request.method"
    HTTP_ROUTE: Final = "http.route"
    HTTP_STATUS: Final = "http.response.status_code"
    URL_SCHEME: Final = "url.scheme"
    URL_PATH: Final = "url.path"
    USER_AGENT: Final = "user_agent.original"
    CLIENT_ADDRESS: Final = "client.address"
    REQUEST_ID: Final = "tracefuse.request.id"


class Event:
    """Event names; each event is a log record and, inside a recording span, a span event."""

    TRANSITION: Final = "circuit_breaker.transition"
    REJECTED: Final = "circuit_breaker.rejected"
    RETRY_SCHEDULED: Final = "retry.scheduled"
    POLICY_REFUSED: Final = "policy.refused"
    SCAN_QUEUED: Final = "scan.queued"
    SCAN_HOST: Final = "scan.host"
    SCAN_CHANGE: Final = "scan.change"
    HISTORY_FAILED: Final = "history.failed"
    ALERT_CHANGED: Final = "alert.changed"
    HEALTH_CHANGED: Final = "health.changed"
    SCHEDULE_MISSED: Final = "schedule.missed"
    SCHEDULE_SKIPPED: Final = "schedule.skipped"
    CONFIG_RELOAD: Final = "config.reload"
    AUDIT_SCAN: Final = "audit.scan"
    AUDIT_OPERATION: Final = "audit.operation"


class Span:
    """Span names. A phase span is called `PHASE` and nmap's own word for it: `phase Connect Scan`."""

    SCAN: Final = "nmap scan"
    ATTEMPT: Final = "attempt"
    PROCESS: Final = "nmap"
    PHASE: Final = "phase"


class InstrumentKind(Enum):
    """The OpenTelemetry instruments in use."""

    COUNTER = "Counter"
    UP_DOWN_COUNTER = "UpDownCounter"
    HISTOGRAM = "Histogram"
    OBSERVABLE_COUNTER = "ObservableCounter"
    OBSERVABLE_GAUGE = "ObservableGauge"
    OBSERVABLE_UP_DOWN_COUNTER = "ObservableUpDownCounter"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row of the contract: an instrument and the Prometheus name it must come out with."""

    name: str
    prometheus: str
    kind: InstrumentKind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    boundaries: tuple[float, ...] | None = None
    kept: bool = False
    """True for the seven metrics whose exposition must never change."""


def _kept() -> tuple[Instrument, ...]:
    kind = InstrumentKind
    return (
        Instrument(
            "mcp.tool.execution", "mcp_tool_execution_total", kind.COUNTER, "{execution}",
            "Total tool executions", (Attribute.TOOL, Attribute.STATUS, Attribute.ERROR_TYPE), kept=True,
        ),
        Instrument(
            "mcp.tool.execution.seconds", "mcp_tool_execution_seconds", kind.HISTOGRAM, "s",
            "Tool execution time in seconds", (Attribute.TOOL,), DURATION_BOUNDARIES, kept=True,
        ),
        Instrument(
            "mcp.tool.active", "mcp_tool_active", kind.UP_DOWN_COUNTER, "{execution}",
            "Currently active tool executions", (Attribute.TOOL,), kept=True,
        ),
        Instrument(
            "mcp.tool.errors", "mcp_tool_errors_total", kind.COUNTER, "{error}",
            "Total tool errors", (Attribute.TOOL, Attribute.ERROR_TYPE), kept=True,
        ),
        Instrument(
            "circuit_breaker.state", "circuit_breaker_state", kind.OBSERVABLE_GAUGE, "",
            "Circuit breaker state (0=closed, 1=open, 2=half_open)", (Attribute.NAME,), kept=True,
        ),
        Instrument(
            "circuit_breaker.calls", "circuit_breaker_calls_total", kind.OBSERVABLE_COUNTER, "{call}",
            "Total circuit breaker calls", (Attribute.NAME, Attribute.RESULT), kept=True,
        ),
        Instrument(
            "circuit_breaker.transitions", "circuit_breaker_transitions_total", kind.COUNTER, "{transition}",
            "Circuit breaker state transitions", (Attribute.NAME, Attribute.FROM_STATE, Attribute.TO_STATE), kept=True,
        ),
    )  # fmt: skip


def _added() -> tuple[Instrument, ...]:
    kind = InstrumentKind
    return (
        Instrument(
            "circuit_breaker.status", "circuit_breaker_status", kind.OBSERVABLE_UP_DOWN_COUNTER, "",
            "1 for the state a circuit breaker is in, 0 for the others", (Attribute.NAME, Attribute.STATE),
        ),
        Instrument(
            "circuit_breaker.call.duration", "circuit_breaker_call_duration_seconds", kind.HISTOGRAM, "s",
            "Duration of calls through a circuit breaker (opt-in)", (Attribute.NAME, Attribute.RESULT),
            DURATION_BOUNDARIES,
        ),
        Instrument(
            "tracefuse.retry.attempts", "tracefuse_retry_attempts_total", kind.COUNTER, "{attempt}",
            "Attempts made, first tries included", (Attribute.NAME, Attribute.RESULT),
        ),
        Instrument(
            "tracefuse.scan.duration", "tracefuse_scan_duration_seconds", kind.HISTOGRAM, "s",
            "Duration of admitted scans, waiting and retries included", (Attribute.TOOL, Attribute.STATUS),
            DURATION_BOUNDARIES,
        ),
        Instrument(
            "tracefuse.scan.hosts", "tracefuse_scan_hosts_total", kind.COUNTER, "{host}",
            "Hosts reported by scans, by state", (Attribute.TOOL, Attribute.STATE),
        ),
        Instrument(
            "tracefuse.scan.ports", "tracefuse_scan_ports_total", kind.COUNTER, "{port}",
            "Ports reported by scans, by state", (Attribute.TOOL, Attribute.STATE),
        ),
        Instrument(
            "tracefuse.scan.changes", "tracefuse_scan_changes_total", kind.COUNTER, "{change}",
            "Differences found between two scans, by kind", (Attribute.TOOL, Attribute.KIND),
        ),
        Instrument(
            "tracefuse.policy.refusals", "tracefuse_policy_refusals_total", kind.COUNTER, "{refusal}",
            "Requests refused by policy, by rule", (Attribute.TOOL, Attribute.RULE),
        ),
        Instrument(
            "tracefuse.queue.length", "tracefuse_queue_length", kind.UP_DOWN_COUNTER, "{scan}",
            "Scans waiting for a free place", (Attribute.TOOL, Attribute.REASON),
        ),
        Instrument(
            "tracefuse.queue.wait", "tracefuse_queue_wait_seconds", kind.HISTOGRAM, "s",
            "Time scans waited for a free place", (Attribute.TOOL, Attribute.REASON), DURATION_BOUNDARIES,
        ),
        Instrument(
            "tracefuse.schedule.runs", "tracefuse_schedule_runs_total", kind.COUNTER, "{run}",
            "Scheduled runs by how they ended, those left out included", (Attribute.RESULT,),
        ),
        Instrument(
            "tracefuse.config.reloads", "tracefuse_config_reloads_total", kind.COUNTER, "{reload}",
            "Reloads of the configuration by their result", (Attribute.RESULT,),
        ),
        Instrument(
            "tracefuse.config.version", "tracefuse_config_version", kind.OBSERVABLE_GAUGE, "",
            "Number of the configuration in force; 1 at the start, one more with each that was applied",
        ),
        Instrument(
            "mcp.server.operation.duration", "mcp_server_operation_duration_seconds", kind.HISTOGRAM, "s",
            "Duration of MCP requests as seen by the server",
            (Attribute.MCP_METHOD, Attribute.GEN_AI_TOOL, Attribute.ERROR_TYPE, Attribute.MCP_PROTOCOL),
            _MCP_BOUNDARIES,
        ),
        Instrument(
            "http.server.request.duration", "http_server_request_duration_seconds", kind.HISTOGRAM, "s",
            "Duration of HTTP requests as seen by the server",
            (Attribute.HTTP_METHOD, Attribute.URL_SCHEME, Attribute.HTTP_ROUTE, Attribute.HTTP_STATUS,
             Attribute.ERROR_TYPE),
            DURATION_BOUNDARIES,
        ),
        Instrument(
            "http.server.active_requests", "http_server_active_requests", kind.UP_DOWN_COUNTER, "{request}",
            "HTTP requests that are being served", (Attribute.HTTP_METHOD, Attribute.URL_SCHEME),
        ),
        Instrument(
            "tracefuse.metrics.repaired", "tracefuse_metrics_repaired_total", kind.OBSERVABLE_COUNTER, "{value}",
            "Values that had to be repaired before they were recorded, by reason", (Attribute.REASON,),
        ),
        Instrument(
            "tracefuse.metrics.evictions", "tracefuse_metrics_evictions_total", kind.OBSERVABLE_COUNTER, "{tool}",
            "Tools whose figures were dropped, by reason", (Attribute.REASON,),
        ),
        Instrument(
            "tracefuse.alert.state", "tracefuse_alert_state", kind.OBSERVABLE_GAUGE, "",
            "State of an alert rule (0=ok, 1=pending, 2=firing)",
            (Attribute.RULE, Attribute.TOOL, Attribute.SEVERITY),
        ),
        Instrument(
            "tracefuse.health.status", "tracefuse_health_status", kind.OBSERVABLE_GAUGE, "",
            "Result of a health check (0=healthy, 1=degraded, 2=unhealthy)", (Attribute.NAME,),
        ),
    )  # fmt: skip


INSTRUMENTS: Final[Mapping[str, Instrument]] = {row.name: row for row in (*_kept(), *_added())}
"""The table, by OpenTelemetry name.

>>> INSTRUMENTS["mcp.tool.execution"].prometheus
'mcp_tool_execution_total'
"""
