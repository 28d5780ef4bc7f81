"""Alert rules: validation, the state machine, hysteresis, and the engine around it."""

from __future__ import annotations

import logging
import math
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry import (
    DEFAULT_ALERT_RULES,
    AlertChange,
    AlertEngine,
    AlertRule,
    AlertState,
    MetricsManager,
)
from tracefuse.telemetry._alert_rules import AlertStatus, step
from tracefuse.telemetry.testing import InMemoryTelemetry

RULE = AlertRule(name="Errors", metric="error_ratio", threshold=0.5, window=60.0, hold=30.0, keep=20.0)


def states(rule: AlertRule, values: list[tuple[float, float | None]]) -> list[str]:
    status, seen = AlertStatus(), []
    for now, value in values:
        status = step(rule, status, value, now)
        seen.append(status.state.value)
    return seen


def test_a_rule_fires_after_holding_and_resolves_after_keeping() -> None:
    values = [(0, 0.1), (10, 0.9), (20, 0.8), (39, 0.9), (40, 0.9), (50, 0.1), (60, 0.1), (70, 0.1), (80, 0.9)]
    assert states(RULE, values) == [
        *("ok", "pending", "pending", "pending", "firing", "firing", "firing", "resolved", "pending")
    ]


def test_a_moment_below_begins_the_holding_anew() -> None:
    assert states(RULE, [(0, 0.9), (29, 0.4), (30, 0.9), (59, 0.9), (60, 0.9)]) == [
        *("pending", "ok", "pending", "pending", "firing")
    ]


def test_a_value_between_clear_and_threshold_neither_fires_nor_resolves() -> None:
    assert RULE.clear_at == 0.45
    assert states(RULE, [(0, 0.47), (10, 0.9), (40, 0.9), (50, 0.47), (100, 0.49), (110, 0.44), (131, 0.3)]) == [
        *("ok", "pending", "firing", "firing", "firing", "firing", "resolved")
    ]


def test_nothing_to_judge_counts_as_fine() -> None:
    assert states(RULE, [(0, 0.9), (30, 0.9), (40, None), (60, None)]) == ["pending", "firing", "firing", "resolved"]
    assert states(RULE, [(0, 0.9), (10, None)]) == ["pending", "ok"]


@given(st.lists(st.sampled_from([0.5001, 0.4999, 0.46]), min_size=30, max_size=60))
def test_a_value_that_swings_around_the_threshold_fires_at_most_once(values: list[float]) -> None:
    rule = AlertRule(name="r", metric="error_ratio", threshold=0.5)
    seen = states(rule, [(float(n), value) for n, value in enumerate(values)])
    changes = sum(one != other for one, other in zip(["ok", *seen], seen, strict=False))
    assert changes <= 1


@pytest.mark.parametrize(("comparison", "bad", "good"), [(">", 6, 5), (">=", 5, 4.9), ("<", 4, 5), ("<=", 5, 5.1)])
def test_comparisons(comparison: Any, bad: float, good: float) -> None:
    rule = AlertRule(name="r", metric="rate", threshold=5.0, comparison=comparison)
    assert states(rule, [(0, good), (1, bad)]) == ["ok", "firing"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a\nb"),
        ("metric", ""),
        ("threshold", math.nan),
        ("threshold", "5"),
        ("comparison", "=="),
        ("window", 0.0),
        ("confirm_window", 300.0),
        ("hold", -1.0),
        ("keep", math.inf),
        ("clear", 0.6),
        ("severity", "page"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_its_field(field: str, value: Any) -> None:
    settings: dict[str, Any] = {"name": "r", "metric": "error_ratio", "threshold": 0.5, field: value}
    with pytest.raises(ValueError, match=f"^{field}: .*; expected "):
        AlertRule(**settings)


def engine(manager: MetricsManager, memory: InMemoryTelemetry, *rules: AlertRule, **settings: Any) -> AlertEngine:
    return AlertEngine(rules, manager=manager, instrumentation=memory.telemetry.instrumentation, **settings)


def fail(manager: MetricsManager, tool: str, failures: int, successes: int = 0) -> None:
    for number in range(failures + successes):
        manager.record_tool_execution(tool, number >= failures, 0.1)


def test_a_change_is_an_event_a_metric_a_log_line_and_a_call(
    manager: MetricsManager, memory: InMemoryTelemetry, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[AlertChange] = []
    watch = engine(manager, memory, RULE, clock=clock, on_change=[heard.append])
    assert watch.evaluate() == []
    fail(manager, "nmap", 3)
    fail(manager, "fine", 0, 3)
    assert [str(change) for change in watch.evaluate()] == [
        "alert Errors for nmap: ok to pending (error_ratio 1, threshold > 0.5)"
    ]
    clock.advance(30.0)
    (fired,) = watch.evaluate()
    assert (fired.new, fired.value, fired.subject) == (AlertState.FIRING, 1.0, "nmap")
    assert heard[-1] == fired
    assert watch.evaluate() == []
    assert memory.metric("tracefuse.alert.state", rule="Errors", tool="nmap", severity="warning") == 2
    assert memory.metric("tracefuse.alert.state", rule="Errors", tool="fine") == 0
    event = memory.events("alert.changed")[-1]
    assert (event.attributes["to_state"], event.attributes["tool"], event.severity) == ("firing", "nmap", "WARN")
    assert [record.levelno for record in caplog.records if "firing" in record.message] == [logging.WARNING]
    assert watch.statuses()["Errors", "nmap"].state is AlertState.FIRING
    fail(manager, "nmap", 0, 10)
    watch.evaluate()
    clock.advance(20.0)
    assert [change.new for change in watch.evaluate()] == [AlertState.RESOLVED]
    watch.stop()
    assert memory.metric("tracefuse.alert.state") is None


def test_few_executions_say_nothing(manager: MetricsManager, memory: InMemoryTelemetry) -> None:
    rule = AlertRule(name="r", metric="error_ratio", threshold=0.5, minimum_count=5)
    watch = engine(manager, memory, rule)
    fail(manager, "nmap", 4)
    assert watch.evaluate() == []
    fail(manager, "nmap", 1)
    assert len(watch.evaluate()) == 1


def test_a_short_window_has_to_confirm(manager: MetricsManager, memory: InMemoryTelemetry, clock: Any) -> None:
    manager._table.clock = clock
    rule = AlertRule(name="r", metric="error_ratio", threshold=0.4, window=3600.0, confirm_window=60.0)
    watch = engine(manager, memory, rule, clock=clock)
    fail(manager, "nmap", 9)
    clock.advance(120.0)
    assert watch.evaluate() == []
    fail(manager, "nmap", 0, 9)
    assert watch.evaluate() == []
    clock.advance(90.0)
    fail(manager, "nmap", 9)
    assert [change.new for change in watch.evaluate()] == [AlertState.FIRING]


def test_a_rule_may_watch_all_tools_together_or_one(manager: MetricsManager, memory: InMemoryTelemetry) -> None:
    together = AlertRule(name="all", metric="failures", threshold=3, tool=None)
    one = AlertRule(name="one", metric="failures", threshold=3, tool="b")
    watch = engine(manager, memory, together, one)
    fail(manager, "a", 2)
    fail(manager, "b", 2)
    assert [(change.rule.name, change.subject) for change in watch.evaluate()] == [("all", "")]


def test_gauges_of_others_can_be_watched_and_a_broken_one_stops_nothing(
    manager: MetricsManager, memory: InMemoryTelemetry
) -> None:
    def broken() -> dict[str, float]:
        raise RuntimeError("no")

    rules = [AlertRule(name=name, metric=name, threshold=0.5) for name in ("broken", "breaker_open")]
    gauges = {"broken": broken, "breaker_open": lambda: {"nmap": 1.0, "other": 0.0}}
    assert [change.subject for change in engine(manager, memory, *rules, gauges=gauges).evaluate()] == ["nmap"]


def test_a_listener_that_raises_changes_nothing(manager: MetricsManager, memory: InMemoryTelemetry) -> None:
    heard: list[AlertChange] = []

    def raising(_: AlertChange) -> None:
        raise RuntimeError("no")

    rule = AlertRule(name="r", metric="count", threshold=0)
    watch = engine(manager, memory, rule, on_change=[raising, heard.append])
    fail(manager, "nmap", 1)
    assert len(watch.evaluate()) == len(heard) == 1


def test_a_tool_that_is_gone_resolves_and_is_forgotten(manager: MetricsManager, memory: InMemoryTelemetry) -> None:
    watch = engine(manager, memory, AlertRule(name="r", metric="count", threshold=0))
    fail(manager, "nmap", 1)
    watch.evaluate()
    manager.reset()
    assert [change.new for change in watch.evaluate()] == [AlertState.RESOLVED]
    assert watch.statuses() == {}


def test_rules_that_do_not_fit_the_engine_are_refused(manager: MetricsManager, memory: InMemoryTelemetry) -> None:
    with pytest.raises(ValueError, match="metric 'speed'; expected one of count"):
        engine(manager, memory, AlertRule(name="r", metric="speed", threshold=1))
    with pytest.raises(ValueError, match=r"window 61\.0; the windows are 60, 300, 900, 3600 seconds"):
        engine(manager, memory, AlertRule(name="r", metric="count", threshold=1, window=61.0))
    with pytest.raises(ValueError, match="two are called 'Errors'"):
        engine(manager, memory, RULE, RULE)
    with pytest.raises(ValueError, match="expected seconds above 0"):
        engine(manager, memory).start(0)


def test_the_thread_evaluates_until_it_is_stopped(manager: MetricsManager, memory: InMemoryTelemetry) -> None:
    fired = threading.Event()
    rule = AlertRule(name="r", metric="count", threshold=0)
    watch = engine(manager, memory, rule, on_change=[lambda _: fired.set()])
    fail(manager, "nmap", 1)
    watch.start(0.01)
    watch.start(0.01)
    assert fired.wait(10)
    watch.stop()
    assert not any(thread.name == "tracefuse-alerts" for thread in threading.enumerate())
    with engine(manager, memory, rule):
        assert any(thread.name == "tracefuse-alerts" for thread in threading.enumerate())


def test_the_default_rules_fit_the_default_windows(manager: MetricsManager, memory: InMemoryTelemetry) -> None:
    watch = engine(manager, memory, *DEFAULT_ALERT_RULES)
    fail(manager, "nmap", 20)
    assert {change.rule.name for change in watch.evaluate()} == {"TracefuseErrorsFast", "TracefuseErrorsNow"}
