"""Alerts without a server: rules over the tools' windows, evaluated in process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ._alert_rules import DEFAULT_ALERT_RULES, WINDOW_METRICS, AlertRule, AlertState, AlertStatus, step
from ._arguments import number, of_type
from ._events import SeverityNumber, emit_event
from ._instrumentation import Instrumentation
from ._manager import MetricsManager
from ._names import Attribute, Event
from ._observed import add_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ._windows import WindowStats

__all__ = ["AlertChange", "AlertEngine"]

_log = logging.getLogger(__name__)
_LEVELS: Final = {AlertState.OK: 0, AlertState.RESOLVED: 0, AlertState.PENDING: 1, AlertState.FIRING: 2}
_SEVERITIES: Final = {
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "critical": SeverityNumber.ERROR,
}
_ALL_TOOLS: Final = ""


@dataclass(frozen=True, slots=True)
class AlertChange:
    """A rule changed its state for `subject`: a tool, what a gauge measures, or "" for all tools together."""

    rule: AlertRule
    subject: str
    old: AlertState
    new: AlertState
    value: float

    def __str__(self) -> str:
        about = f" for {self.subject}" if self.subject else ""
        rule = self.rule
        return (
            f"alert {rule.name}{about}: {self.old.value} to {self.new.value}"
            f" ({rule.metric} {self.value:.4g}, threshold {rule.comparison} {rule.threshold:g})"
        )


class AlertEngine:
    """Evaluates `rules` when `evaluate` is called, or on a thread of its own between `start` and `stop`.

    Each change of state is the event `alert.changed`, is logged, and goes to every listener in
    `on_change`, after the engine's lock is released; one that raises is logged and changes nothing. The
    metric `tracefuse.alert.state` shows where each rule stands. `gauges` adds what rules may watch
    besides the tools' windows: a name, and a function that answers values by subject, for example
    {"breaker_open": lambda: {"nmap": 1.0}}.

    Raises ValueError for two rules of one name, a metric that is none, or a window that is not kept.

    >>> MetricsManager.reset_for_testing()
    >>> manager = MetricsManager.get()
    >>> engine = AlertEngine([AlertRule(name="Failing", metric="error_ratio", threshold=0.5)], manager=manager)
    >>> manager.record_tool_execution("nmap", success=False)
    >>> print(*engine.evaluate())
    alert Failing for nmap: ok to firing (error_ratio 1, threshold > 0.5)
    >>> MetricsManager.reset_for_testing()
    """

    def __init__(
        self,
        rules: Iterable[AlertRule] = DEFAULT_ALERT_RULES,
        *,
        manager: MetricsManager | None = None,
        gauges: Mapping[str, Callable[[], Mapping[str, float]]] | None = None,
        on_change: Sequence[Callable[[AlertChange], object]] = (),
        clock: Callable[[], float] = time.monotonic,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        of_type("rules", rules, Iterable, "AlertRules")
        self._rules = tuple(rules)
        for rule in self._rules:
            of_type("one of the rules", rule, AlertRule, "an AlertRule")
        of_type("gauges", gauges, Mapping | None, "functions by name, or None")
        of_type("on_change", on_change, Iterable, "a list of functions")
        self._manager = manager or MetricsManager.get()
        self._gauges = dict(gauges or {})
        self._check()
        self._on_change = tuple(on_change)
        self._clock = clock
        self._lock = threading.RLock()
        self._statuses: dict[tuple[AlertRule, str], AlertStatus] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        instrumentation = instrumentation or Instrumentation.from_providers()
        self._logger = instrumentation.logger
        self._unobserve = add_source(instrumentation, "tracefuse.alert.state", self._observe)

    def _check(self) -> None:
        names = [rule.name for rule in self._rules]
        for name in {name for name in names if names.count(name) > 1}:
            raise ValueError(f"rules: two are called {name!r}; expected names of their own")
        for rule in self._rules:
            if rule.metric not in {*WINDOW_METRICS, *self._gauges}:
                known = ", ".join((*WINDOW_METRICS, *self._gauges))
                raise ValueError(f"rule {rule.name}: metric {rule.metric!r}; expected one of {known}")
            for window in (rule.window, rule.confirm_window):
                if rule.metric in WINDOW_METRICS and window not in {None, *self._manager.window_spans}:
                    kept = ", ".join(f"{span:g}" for span in self._manager.window_spans)
                    raise ValueError(f"rule {rule.name}: window {window!r}; the windows are {kept} seconds")

    def evaluate(self) -> list[AlertChange]:
        """Look at all rules now; answers what changed."""
        seen = {rule: self._values(rule) for rule in self._rules}
        changes: list[AlertChange] = []
        with self._lock:
            now = self._clock()
            for rule, values in seen.items():
                known = {subject for one, subject in self._statuses if one is rule}
                for subject in sorted(known | values.keys()):
                    changes += self._step(rule, subject, values.get(subject), now)
        for change in changes:
            self._tell(change)
        return changes

    def _step(self, rule: AlertRule, subject: str, value: float | None, now: float) -> Iterator[AlertChange]:
        old = self._statuses.get((rule, subject), AlertStatus())
        new = step(rule, old, value, now)
        if value is None and new.state in {AlertState.OK, AlertState.RESOLVED}:
            # What is no longer there needs no status: its tool was evicted, its breaker is gone.
            self._statuses.pop((rule, subject), None)
        else:
            self._statuses[rule, subject] = new
        if new.state is not old.state:
            yield AlertChange(rule, subject, old.state, new.state, new.value)

    def _values(self, rule: AlertRule) -> dict[str, float]:
        """The value of each subject that there is something to say about."""
        if rule.metric in self._gauges:
            try:
                return dict(self._gauges[rule.metric]())
            except Exception:  # noqa: BLE001 - one broken gauge must not stop the other rules
                _log.warning("alerts.gauge_failed rule=%s metric=%s", rule.name, rule.metric, exc_info=True)
                return {}
        match rule.tool:
            case None:
                subjects: dict[str, str | None] = {_ALL_TOOLS: None}
            case "*":
                subjects = {name: name for name in self._manager.tool_metrics}
            case name:
                subjects = {name: name}
        values = ((subject, self._window_value(rule, tool)) for subject, tool in subjects.items())
        return {subject: value for subject, value in values if value is not None}

    def _window_value(self, rule: AlertRule, tool: str | None) -> float | None:
        (stats,) = self._manager.get_window_stats(tool, rule.window)
        if stats.count < rule.minimum_count:
            return None
        value = _value(stats, rule.metric)
        if rule.confirm_window is None or not rule.breached(value):
            return value
        (short,) = self._manager.get_window_stats(tool, rule.confirm_window)
        if not short.count:
            return None
        confirming = _value(short, rule.metric)
        return value if rule.breached(confirming) else confirming

    def statuses(self) -> dict[tuple[str, str], AlertStatus]:
        """Where each rule stands, by rule name and subject."""
        with self._lock:
            return {(rule.name, subject): status for (rule, subject), status in self._statuses.items()}

    def _tell(self, change: AlertChange) -> None:
        severity = _SEVERITIES[change.rule.severity] if change.new is AlertState.FIRING else SeverityNumber.INFO
        attributes = {
            Attribute.RULE: change.rule.name,
            Attribute.TOOL: change.subject,
            Attribute.FROM_STATE: change.old.value,
            Attribute.TO_STATE: change.new.value,
            Attribute.SEVERITY: change.rule.severity,
            Attribute.VALUE: change.value,
            Attribute.THRESHOLD: change.rule.threshold,
        }
        emit_event(self._logger, Event.ALERT_CHANGED, attributes, severity=severity)
        _log.log(logging.WARNING if change.new is AlertState.FIRING else logging.INFO, "%s", change)
        for listener in self._on_change:
            try:
                listener(change)
            except Exception:  # noqa: BLE001 - the other listeners still have to hear of it
                _log.exception("alerts.listener_failed rule=%s", change.rule.name)

    def _observe(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        with self._lock:
            statuses = list(self._statuses.items())
        for (rule, subject), status in statuses:
            labels = {Attribute.RULE: rule.name, Attribute.TOOL: subject, Attribute.SEVERITY: rule.severity}
            yield _LEVELS[status.state], labels

    def start(self, interval: float = 15.0) -> None:
        """Evaluate every `interval` seconds on a daemon thread until `stop`."""
        number("interval", interval, "seconds above 0, at most a day, for example 15.0", low=1e-3, high=86_400.0)
        with self._lock:
            if self._thread is not None:
                return
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, args=(interval,), name="tracefuse-alerts", daemon=True)
            self._thread.start()

    def _run(self, interval: float) -> None:
        while not self._stopping.wait(interval):
            try:
                self.evaluate()
            except Exception:  # noqa: BLE001 - the thread goes on
                _log.exception("alerts.evaluation_failed")

    def stop(self) -> None:
        """End the thread, and report no more."""
        self._stopping.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(5.0)
        self._unobserve()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _value(stats: WindowStats, metric: str) -> float:
    return float(getattr(stats, metric))
