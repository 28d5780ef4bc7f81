"""What the known tool tells about itself and its configuration, as plain values under the known keys."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

from tracefuse.resilience import CircuitBreakerState

from ._scripts import _INTRUSIVE
from ._templates import ScanTemplate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._app import App

__all__ = ["configuration_state", "tool_info"]

_SHORT: Final = 60.0
"""Seconds below which a time limit ends many ordinary scans."""


def tool_info(name: str, app: App, flags: Sequence[str]) -> dict[str, Any]:
    """The tool, its limits and its state."""
    policy, settings = app.tool.policy, app.settings
    return {
        "name": name,
        "command": app.tool.name,
        "description": "Network scanner behind a policy, a circuit breaker and telemetry",
        "performance": {
            "concurrency": settings.queue.per_tool,
            "default_timeout": settings.nmap.timeout,
            "max_network_size": policy.max_addresses,
            "max_port_ranges": policy.max_port_ranges,
        },
        "policy": {
            "intrusive_allowed": policy.allow_intrusive,
            "networks": [str(network) for network in policy.networks],
            "domains": list(policy.domains),
        },
        "allowed_operations": {
            "flags_count": len(flags),
            "flags": list(flags),
            "safe_script_categories": list(policy.script_categories),
            "intrusive_categories": list(_INTRUSIVE) if policy.allow_intrusive else [],
        },
        "circuit_breaker": {
            "enabled": True,
            "failure_threshold": settings.breaker.failure_threshold,
            "recovery_timeout": settings.breaker.recovery_timeout,
            "state": app.breaker.state.name,
        },
        "metrics": {"available": True, "prometheus_metric": f'mcp_tool_execution_total{{tool="{app.tool.name}"}}'},
        "scan_templates": [template.value for template in ScanTemplate],
    }


def configuration_state(app: App) -> dict[str, Any]:
    """Whether scans can work: `issues` prevent it, `warnings` do not."""
    path = app.settings.nmap.path
    available = shutil.which(path) is not None
    return {
        "valid": available,
        "issues": [] if available else [f"nmap was not found: {path!r} is no program on PATH; apt install nmap"],
        "warnings": list(_warnings(app)),
        "configuration": {
            "intrusive_allowed": app.tool.policy.allow_intrusive,
            "timeout": app.settings.nmap.timeout,
            "concurrency": app.settings.queue.per_tool,
            "command_available": available,
        },
    }


def _warnings(app: App) -> Iterator[str]:
    if app.breaker.state is CircuitBreakerState.OPEN:
        yield "the circuit breaker is open after failures; scans are refused until it has recovered"
    if app.settings.nmap.timeout < _SHORT:
        yield f"the default timeout of {app.settings.nmap.timeout:g} s is short for a scan"
    if app.tool.policy.allow_intrusive:
        yield "intrusive options and scripts are allowed"
