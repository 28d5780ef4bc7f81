"""Snapshots: immutable through and through, and comparable."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tracefuse.telemetry import MetricSnapshot

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def snapshot(seconds: float = 0.0, system: dict[str, Any] | None = None, **tools: dict[str, Any]) -> MetricSnapshot:
    return MetricSnapshot(NOON + timedelta(seconds=seconds), system or {}, tools)


def test_nothing_in_a_snapshot_can_be_changed() -> None:
    given = {"nmap": {"count": 1, "list": [1]}}
    taken = MetricSnapshot(NOON, {"a": 1}, given)
    given["nmap"]["count"] = 2
    assert taken.tool_stats["nmap"]["count"] == 1
    assert taken.tool_stats["nmap"]["list"] == (1,)
    with pytest.raises(FrozenInstanceError):
        taken.timestamp = NOON  # type: ignore[misc]
    with pytest.raises(TypeError):
        taken.system_stats["a"] = 2  # type: ignore[index]
    with pytest.raises(TypeError):
        taken.tool_stats["nmap"]["count"] = 2  # type: ignore[index]


def test_changes_are_new_minus_old() -> None:
    old = snapshot(0, {"requests": 3, "state": "up", "same": "x"}, a={"count": 1, "last": "t0", "on": True})
    new = snapshot(90, {"requests": 5, "state": "down", "same": "x"}, a={"count": 4, "last": "t1", "on": False})
    assert new.compare(old) == {
        "time_delta": 90.0,
        "system_changes": {"requests": 2, "state": {"old": "up", "new": "down"}},
        "tool_changes": {
            "a": {"count": 3, "last": {"old": "t0", "new": "t1"}, "on": {"old": True, "new": False}},
        },
    }
    assert old.compare(new)["time_delta"] == -90.0


def test_tools_of_both_sides_are_compared_and_missing_numbers_count_as_zero() -> None:
    changes = snapshot(0, new={"count": 2, "tool_name": "new"}).compare(snapshot(0, gone={"count": 5}))
    assert changes["tool_changes"] == {
        "gone": {"count": -5},
        "new": {"count": 2, "tool_name": {"old": None, "new": "new"}},
    }


def test_time_between_does_not_depend_on_the_wall_clock() -> None:
    old = MetricSnapshot(NOON, {}, {}, monotonic=10.0)
    new = MetricSnapshot(NOON - timedelta(hours=1), {}, {}, monotonic=15.0)
    assert new.compare(old)["time_delta"] == 5.0


def test_a_timestamp_without_zone_is_read_as_utc() -> None:
    old = MetricSnapshot(datetime(2026, 1, 1, 12), {}, {})  # noqa: DTZ001 - on purpose
    assert snapshot(5).compare(old)["time_delta"] == 5.0


@pytest.mark.parametrize("other", [None, {}, "snapshot", 3])
def test_only_snapshots_are_compared(other: Any) -> None:
    with pytest.raises(TypeError, match=r"^Can only compare with another MetricSnapshot$"):
        snapshot().compare(other)


def test_a_snapshot_becomes_json() -> None:
    assert json.loads(json.dumps(snapshot(0, {"a": 1}, t={"n": 1}).to_dict())) == {
        "timestamp": "2026-01-01T12:00:00+00:00",
        "system_stats": {"a": 1},
        "tool_stats": {"t": {"n": 1}},
    }
