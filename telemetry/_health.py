"""Health in values: what one check found, and what all of them say together. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HealthCheckPriority", "HealthCheckResult", "HealthStatus", "SystemHealth", "overall"]


class HealthStatus(Enum):
    """How well something is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class HealthCheckPriority(IntEnum):
    """How much a check matters for the whole."""

    CRITICAL = 0
    IMPORTANT = 1
    INFORMATIONAL = 2


@dataclass(frozen=True, slots=True)
class HealthCheckResult:
    """What one check found. `duration` in seconds; `metadata` holds plain values."""

    name: str
    status: HealthStatus
    message: str = ""
    priority: HealthCheckPriority = HealthCheckPriority.IMPORTANT
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    duration: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON."""
        return {
            "name": self.name,
            "status": self.status.value,
            "message": self.message,
            "priority": int(self.priority),
            "priority_name": self.priority.name,
            "timestamp": self.timestamp.isoformat(),
            "duration": round(self.duration, 4),
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """What all checks of one kind say together. `age` is in seconds at the time of asking."""

    status: HealthStatus
    checks: tuple[HealthCheckResult, ...] = ()
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    age: float = 0.0

    @property
    def ok(self) -> bool:
        """True unless unhealthy: degraded still serves."""
        return self.status is not HealthStatus.UNHEALTHY

    def is_stale(self, max_age: float = 60.0) -> bool:
        """Whether it was found more than `max_age` seconds ago."""
        return self.age > max_age

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON: status, timestamp, checks by name, and a summary of counts."""
        counts = {status.value: sum(one.status is status for one in self.checks) for status in HealthStatus}
        return {
            "status": self.status.value,
            "timestamp": self.timestamp.isoformat(),
            "checks": {one.name: one.to_dict() for one in self.checks},
            "summary": {"total": len(self.checks), **counts},
        }


def overall(results: Sequence[HealthCheckResult]) -> HealthStatus:
    """The health of the whole.

    Unhealthy when a critical check is; degraded when an important one is unhealthy, when any is degraded,
    or when all informational ones are unhealthy; else healthy.

    >>> bad = HealthCheckResult("nmap", HealthStatus.UNHEALTHY, priority=HealthCheckPriority.IMPORTANT)
    >>> overall([bad]).value, overall([]).value
    ('degraded', 'healthy')
    """
    unhealthy = [one.priority for one in results if one.status is HealthStatus.UNHEALTHY]
    if HealthCheckPriority.CRITICAL in unhealthy:
        return HealthStatus.UNHEALTHY
    informational = [one.priority for one in results if one.priority is HealthCheckPriority.INFORMATIONAL]
    worse = (
        HealthCheckPriority.IMPORTANT in unhealthy
        or any(one.status is HealthStatus.DEGRADED for one in results)
        or (bool(informational) and unhealthy.count(HealthCheckPriority.INFORMATIONAL) == len(informational))
    )
    return HealthStatus.DEGRADED if worse else HealthStatus.HEALTHY
