"""A picture of all figures at one moment, which cannot change and can be compared with another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

__all__ = ["MetricSnapshot"]


@dataclass(frozen=True, slots=True)
class MetricSnapshot:
    """Immutable, also inside: `system_stats` and `tool_stats` are read-only copies of what was given.

    `monotonic` is the monotonic clock's time; with it `time_delta` does not depend on the wall clock.

    >>> from datetime import datetime, UTC
    >>> old = MetricSnapshot(datetime(2026, 1, 1, tzinfo=UTC), {"request_count": 1}, {})
    >>> new = MetricSnapshot(datetime(2026, 1, 1, 0, 1, tzinfo=UTC), {"request_count": 5}, {"nmap": {"count": 2}})
    >>> new.compare(old)
    {'time_delta': 60.0, 'system_changes': {'request_count': 4}, 'tool_changes': {'nmap': {'count': 2}}}
    """

    timestamp: datetime
    system_stats: Mapping[str, Any]
    tool_stats: Mapping[str, Mapping[str, Any]]
    monotonic: float | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "system_stats", _frozen(self.system_stats))
        object.__setattr__(self, "tool_stats", _frozen(self.tool_stats))

    def compare(self, other: MetricSnapshot) -> dict[str, Any]:
        """What changed from `other` to this one.

        `time_delta` is in seconds, negative when `other` is the newer one. Numbers are differences; one
        that is missing on a side counts as 0 there. Other values that differ are {"old": ..., "new": ...}
        with None for a missing one. `tool_changes` has the tools of both.

        Raises TypeError when `other` is no MetricSnapshot.
        """
        if not isinstance(other, MetricSnapshot):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("Can only compare with another MetricSnapshot")
        tools = sorted(self.tool_stats.keys() | other.tool_stats.keys())
        return {
            "time_delta": self._seconds_since(other),
            "system_changes": _changes(other.system_stats, self.system_stats),
            "tool_changes": {
                tool: _changes(other.tool_stats.get(tool, {}), self.tool_stats.get(tool, {})) for tool in tools
            },
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, fit for JSON."""
        return {
            "timestamp": self.timestamp.isoformat(),
            "system_stats": _thawed(self.system_stats),
            "tool_stats": _thawed(self.tool_stats),
        }

    def _seconds_since(self, other: MetricSnapshot) -> float:
        if self.monotonic is not None and other.monotonic is not None:
            return self.monotonic - other.monotonic
        return (_aware(self.timestamp) - _aware(other.timestamp)).total_seconds()


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        items: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return MappingProxyType({key: _frozen(inner) for key, inner in items.items()})
    if isinstance(value, list | tuple):
        inner_values: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return tuple(_frozen(inner) for inner in inner_values)
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        items: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _thawed(inner) for key, inner in items.items()}
    return value


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for key in (*new, *(key for key in old if key not in new)):
        before, after = old.get(key), new.get(key)
        if _is_number(before, missing=key not in old) and _is_number(after, missing=key not in new):
            changes[key] = (after or 0) - (before or 0)
        elif before != after:
            changes[key] = {"old": before, "new": after}
    return changes


def _is_number(value: object, *, missing: bool) -> bool:
    return missing or (isinstance(value, int | float) and not isinstance(value, bool))
