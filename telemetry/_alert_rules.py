"""Alert rules as data, and the state machine that one rule goes through. Pure."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from ._arguments import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DEFAULT_ALERT_RULES", "WINDOW_METRICS", "AlertRule", "AlertState", "AlertStatus", "step"]

Comparison = Literal[">", ">=", "<", "<="]
Severity = Literal["info", "warning", "critical"]

WINDOW_METRICS: Final = ("count", "failures", "rate", "error_ratio", "mean", "p50", "p95", "p99")
"""What a rule can watch of a tool's window; names of `WindowStats`."""

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_HUGE: Final = 1e300
_SEVERITIES: Final = ("info", "warning", "critical")


class AlertState(Enum):
    """Where a rule stands. RESOLVED is OK, said of one that was firing."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """When to raise an alarm about a metric.

    It fires when `metric` over the last `window` seconds compares so with `threshold` for `hold` seconds
    without a break, and resolves when for `keep` seconds it is beyond `clear` again: by default a tenth
    below the threshold (above it for "<"), so that a value that swings around the threshold does not
    make the state flap. With `confirm_window` the shorter window has to say the same.

    `metric` is one of `WINDOW_METRICS`, or the name of a gauge that the engine was given. `tool` names
    one tool, "*" each of them by itself, None all together. Windows with less than `minimum_count`
    executions say nothing, and count as fine.

    Raises ValueError naming the field, what it was given, and what it takes.

    >>> AlertRule(name="SlowScans", metric="p95", threshold=240.0, window=3600.0, tool="*").clear_at
    216.0
    """

    name: str
    metric: str
    threshold: float
    comparison: Comparison = ">"
    window: float = 300.0
    confirm_window: float | None = None
    hold: float = 0.0
    clear: float | None = None
    keep: float = 0.0
    minimum_count: int = 1
    severity: Severity = "warning"
    tool: str | None = "*"

    def __post_init__(self) -> None:
        _require(self, "name", _short(self.name), "a short text")
        _require(self, "metric", _short(self.metric), f"one of {', '.join(WINDOW_METRICS)}, or a gauge's name")
        _require(self, "tool", self.tool is None or _short(self.tool), "a tool's name, '*' for each, or None for all")
        _require(self, "comparison", self.comparison in tuple(_COMPARE), "one of >, >=, <, <=")
        _require(self, "severity", self.severity in _SEVERITIES, f"one of {', '.join(_SEVERITIES)}")
        _require(self, "minimum_count", _finite(self.minimum_count) and self.minimum_count >= 0, "0 or more")
        _require(self, "threshold", _finite(self.threshold), "a finite number")
        for field in ("hold", "keep"):
            _require(self, field, _finite(getattr(self, field)) and getattr(self, field) >= 0, "seconds, 0 or more")
        _require(self, "window", _finite(self.window) and self.window > 0, "seconds above 0")
        confirm = self.confirm_window
        _require(
            self,
            "confirm_window",
            confirm is None or (_finite(confirm) and 0 < confirm < self.window),
            "seconds below `window`, or None",
        )
        upwards = self.comparison in {">", ">="}
        good = self.clear is None or (
            _finite(self.clear) and (self.clear <= self.threshold if upwards else self.clear >= self.threshold)
        )
        _require(self, "clear", good, f"a number {'at most' if upwards else 'at least'} the threshold")

    @property
    def clear_at(self) -> float:
        """Where a firing alert begins to resolve."""
        if self.clear is not None:
            return self.clear
        margin = abs(self.threshold) * 0.1
        return self.threshold - margin if self.comparison in {">", ">="} else self.threshold + margin

    def breached(self, value: float) -> bool:
        """Whether `value` is beyond the threshold."""
        return _COMPARE[self.comparison](value, self.threshold)

    def cleared(self, value: float) -> bool:
        """Whether `value` is good enough for a firing alert to resolve."""
        return not _COMPARE[self.comparison](value, self.clear_at)


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """Where one rule stands for one subject. Times on the monotonic clock; `value` is the last that was seen."""

    state: AlertState = AlertState.OK
    since: float = 0.0
    value: float = 0.0
    good_since: float | None = None


def step(rule: AlertRule, status: AlertStatus, value: float | None, now: float) -> AlertStatus:
    """The status after `value` was seen at `now`; None means that there is nothing to judge, which is fine.

    >>> rule = AlertRule(name="r", metric="error_ratio", threshold=0.5, hold=60.0)
    >>> status = step(rule, AlertStatus(), 0.9, now=0.0)
    >>> status.state.name, step(rule, status, 0.9, now=60.0).state.name
    ('PENDING', 'FIRING')
    """
    breached = value is not None and rule.breached(value)
    seen = replace(status, value=status.value if value is None else value)
    match status.state:
        case AlertState.FIRING:
            return _while_firing(rule, seen, value is None or rule.cleared(value), now)
        case AlertState.PENDING if breached:
            return _moved(seen, AlertState.FIRING, now) if now - status.since >= rule.hold else seen
        case AlertState.OK | AlertState.RESOLVED if breached:
            return _moved(seen, AlertState.PENDING if rule.hold > 0 else AlertState.FIRING, now)
        case AlertState.PENDING:
            return _moved(seen, AlertState.OK, now)
        case _:
            return seen


def _while_firing(rule: AlertRule, status: AlertStatus, good: bool, now: float) -> AlertStatus:
    if not good:
        return replace(status, good_since=None)
    since = now if status.good_since is None else status.good_since
    if now - since >= rule.keep:
        return _moved(status, AlertState.RESOLVED, now)
    return replace(status, good_since=since)


def _moved(status: AlertStatus, state: AlertState, now: float) -> AlertStatus:
    return AlertStatus(state, now, status.value)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _HUGE


def _short(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 128 and value.isprintable()


def _require(rule: AlertRule, field: str, good: bool, expected: str) -> None:
    if not good:
        raise ValueError(f"{field}: {shown(getattr(rule, field))}; expected {expected}")


DEFAULT_ALERT_RULES: Final = (
    AlertRule(
        name="TracefuseErrorsFast", metric="error_ratio", threshold=0.144, window=3600.0, confirm_window=300.0,
        hold=120.0, minimum_count=10, severity="critical",
    ),
    AlertRule(
        name="TracefuseErrorsNow", metric="error_ratio", threshold=0.5, window=300.0, confirm_window=60.0,
        hold=60.0, keep=60.0, minimum_count=5, severity="warning",
    ),
    AlertRule(
        name="TracefuseScansSlow", metric="p95", threshold=240.0, window=3600.0, hold=900.0, severity="warning",
    ),
)  # fmt: skip
"""What is watched without Prometheus. The first and the last have their counterparts in rules/alerts.yaml."""
