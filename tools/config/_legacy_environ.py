"""The names of the earlier server, `MCP_*` variables and sections of its file: what each one is called now.

Every name that it read is in the table. Most have a successor; of the others it says why there is none.
Names that it documented and never read stay without effect: what they would widen was never in force.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from .._policy import Policy, PolicyError
from ._table import variable_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CONFIG_VARIABLES", "LEGACY_SECTIONS", "LEGACY_VARIABLES", "Legacy", "renamed"]

CONFIG_VARIABLES: Final = ("TRACEFUSE_CONFIG", "MCP_CONFIG_FILE")
"""What names the configuration file, the present name first."""


def _same(value: object) -> Mapping[str, object]:
    return {"": value}


@dataclass(frozen=True, slots=True)
class Legacy:
    """What became of one known name: the setting it is now, or why it is none."""

    setting: str = ""
    gone: str = ""
    convert: Callable[[object], Mapping[str, object]] = _same
    """The values of the settings that it stands for, by name; "" is `setting`."""


def _allowed_targets(value: object) -> Mapping[str, object]:
    """One list of networks and domains, as two."""
    entries: list[object] = list(cast("list[object]", value)) if isinstance(value, list) else [value]
    try:
        policy = Policy().with_allowed_targets(map(str, entries))
    except PolicyError:
        # Told where networks are checked, with the value as it was given.
        return {"policy.networks": entries}
    return {"policy.networks": policy.networks, "policy.domains": policy.domains}


def _transport(value: object) -> Mapping[str, object]:
    """Standard input and output, or plain HTTP, which is always there."""
    return {"": "stdio" if value == "stdio" else "off"}


_HISTORY: Final = "scans are kept in SQLite below state_dir"
_STREAMED: Final = "output is read as it comes; nmap.output_limit stops a run that writes too much"
_STDERR: Final = "logs go to standard error, for systemd or the container to keep"
_EXPORTED: Final = "metrics are served at /metrics, and sent by the standard OTEL_* variables"
_THRESHOLDS: Final = "the use of the machine is a metric; alert rules have the thresholds"
_LIMITED: Final = "limit the service as a whole, in its systemd unit or container"
_FOUND: Final = "there is one tool, and it is always there"

LEGACY_SECTIONS: Final[Mapping[str, Legacy]] = {
    **{f"database.{key}": Legacy(gone=_HISTORY) for key in
       ("url", "pool_size", "max_overflow", "pool_timeout", "pool_recycle")},
    "security.allowed_targets": Legacy("policy.networks", convert=_allowed_targets),
    "security.max_args_length": Legacy("policy.max_argument_length"),
    "security.max_output_size": Legacy(gone=_STREAMED),
    "security.timeout_seconds": Legacy("nmap.timeout"),
    "security.concurrency_limit": Legacy("queue.total"),
    "security.allow_intrusive": Legacy("policy.allow_intrusive"),
    "circuit_breaker.failure_threshold": Legacy("breaker.failure_threshold"),
    "circuit_breaker.recovery_timeout": Legacy("breaker.recovery_timeout"),
    "circuit_breaker.half_open_success_threshold": Legacy("breaker.success_threshold"),
    "circuit_breaker.expected_exceptions": Legacy(gone="failures of the tool count, and nothing else"),
    "health.check_interval": Legacy("health.interval"),
    **{f"health.{key}_threshold": Legacy(gone=_THRESHOLDS) for key in ("cpu", "memory", "disk")},
    "health.dependencies": Legacy(gone="the service checks what it needs by itself"),
    **{f"metrics.{key}": Legacy(gone=_EXPORTED) for key in
       ("enabled", "prometheus_enabled", "prometheus_port", "collection_interval")},
    **{f"logging.{key}": Legacy(gone=_STDERR) for key in ("file_path", "max_file_size", "backup_count")},
    "server.host": Legacy("serve.host"),
    "server.port": Legacy("serve.port"),
    "server.transport": Legacy("serve.mcp", convert=_transport),
    "server.workers": Legacy(gone="one process serves all; queue.total says how many scans run at once"),
    "server.max_connections": Legacy("serve.max_requests"),
    "server.shutdown_grace_period": Legacy("serve.grace"),
    "tool.include_patterns": Legacy(gone=_FOUND),
    "tool.exclude_patterns": Legacy(gone=_FOUND),
    "tool.default_timeout": Legacy("nmap.timeout"),
    "tool.default_concurrency": Legacy("queue.per_tool"),
}  # fmt: skip
"""What stood in a section of the earlier server's file and is not a setting of that name today."""

_NEVER_READ: Final = {"security.allowed_targets", "health.dependencies", "circuit_breaker.expected_exceptions",
                      "tool.include_patterns", "tool.exclude_patterns"}  # fmt: skip

LEGACY_VARIABLES: Final[Mapping[str, Legacy]] = {
    "MCP_MAX_ARGS_LEN": Legacy("policy.max_argument_length"),
    "MCP_MAX_STDOUT_BYTES": Legacy(gone=_STREAMED),
    "MCP_MAX_STDERR_BYTES": Legacy(gone=_STREAMED),
    "MCP_DEFAULT_TIMEOUT_SEC": Legacy("nmap.timeout"),
    "MCP_DEFAULT_CONCURRENCY": Legacy("queue.per_tool"),
    "MCP_MAX_MEMORY_MB": Legacy(gone=_LIMITED),
    "MCP_MAX_FILE_DESCRIPTORS": Legacy(gone=_LIMITED),
    **{f"MCP_{name.replace('.', '_').upper()}": legacy for name, legacy in LEGACY_SECTIONS.items()
       if name not in _NEVER_READ},
    "MCP_HEALTH_TIMEOUT": Legacy("health.timeout"),
    "MCP_LOGGING_LEVEL": Legacy("logging.level"),
}  # fmt: skip
"""The variables that the earlier server read. Of two for one setting the later in this table wins."""


def renamed(given: str, legacy: Legacy, *, as_variable: bool) -> str:
    """The line that tells a user of `given` what it is called now.

    >>> renamed("MCP_SERVER_PORT", LEGACY_VARIABLES["MCP_SERVER_PORT"], as_variable=True)
    'MCP_SERVER_PORT is deprecated: use TRACEFUSE_SERVE_PORT'
    """
    if legacy.gone:
        return f"{given} has no effect any more: {legacy.gone}"
    return f"{given} is deprecated: use {variable_of(legacy.setting) if as_variable else legacy.setting}"
