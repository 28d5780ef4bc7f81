"""From breakers to OpenTelemetry: the API only, so that nothing happens and little is paid without an SDK.

State and calls are observed: plain numbers of the live breakers, read when a reader collects, so a
call pays for no attribute hashing. The SDK keeps the callbacks of an instrument's first registration
only; therefore the live breakers hang on their meter in one table here, weakly, and whichever
callback the SDK kept reports them all. A breaker that is gone takes its series with it.
"""

from __future__ import annotations

import functools
import logging
import threading
import weakref
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.metrics import Observation

from tracefuse.telemetry import Attribute, Event, Instrumentation, SeverityNumber, emit_event

from ._core import TRANSITIONS
from ._events import BreakerMode, CircuitBreakerState
from ._fork import hold_at_fork
from ._live import LiveBreakers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import CallbackOptions, Meter

    from ._events import CallRejected, Transition
    from ._live import Watched

__all__ = ["BreakerTelemetry", "telemetry_for"]

_log = logging.getLogger("tracefuse.resilience")
_CHANGES = sorted({(origin.name, goal.name) for (origin, _), goal in TRANSITIONS.items()})
_STATUSES = ("closed", "open", "half_open", BreakerMode.ISOLATED.value, BreakerMode.DISABLED.value)


class BreakerTelemetry:
    """The instruments of all breakers that share one `Instrumentation`."""

    __slots__ = ("__weakref__", "_duration", "_live", "_transitions", "logger")

    def __init__(self, instrumentation: Instrumentation) -> None:
        self.logger = instrumentation.logger
        self._transitions = instrumentation.counter("circuit_breaker.transitions")
        self._duration = instrumentation.histogram("circuit_breaker.call.duration")
        self._live = _meters.live(instrumentation)

    def watch(self, breaker: Watched) -> None:
        """Report `breaker` at every collection for as long as it lives.

        Its transitions begin at zero: a series that first appears with its first event is an increase
        that `increase()` does not see.
        """
        self._live.add(breaker)
        for from_state, to_state in _CHANGES:
            self._count_transition(breaker.name, from_state, to_state, 0)

    def transition(self, name: str, event: Transition) -> None:
        """Count a change of state and emit its event on the current span."""
        from_state, to_state = event.from_state.name, event.to_state.name
        self._count_transition(name, from_state, to_state, 1)
        attributes: dict[str, str | int | float] = {
            Attribute.NAME: name,
            Attribute.FROM_STATE: from_state,
            Attribute.TO_STATE: to_state,
            Attribute.REASON: event.reason.value,
            Attribute.FAILURE_COUNT: event.failure_count,
        }
        if event.retry_after is not None:
            attributes[Attribute.RETRY_AFTER] = event.retry_after
        opened = event.to_state is CircuitBreakerState.OPEN
        severity = SeverityNumber.WARN if opened else SeverityNumber.INFO
        emit_event(self.logger, Event.TRANSITION, attributes, severity=severity)

    def _count_transition(self, name: str, from_state: str, to_state: str, count: int) -> None:
        attributes = {Attribute.NAME: name, Attribute.FROM_STATE: from_state, Attribute.TO_STATE: to_state}
        try:
            self._transitions.add(count, attributes)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the operation
            _log.warning("metrics.transition_failed name=%s error=%s", name, error)

    def rejected(self, name: str, event: CallRejected) -> None:
        """Put a rejection on the current span; the first one since the last change is a log record too.

        An open circuit refuses thousands of calls a second: one record says what there is to say.
        """
        span = trace.get_current_span()
        if not event.first and not span.is_recording():
            return
        attributes: dict[str, str | float] = {
            Attribute.NAME: name,
            Attribute.STATE: event.state.name,
            Attribute.REASON: event.mode.value if event.mode is not BreakerMode.NORMAL else event.state.name.lower(),
        }
        if event.retry_after is not None:
            attributes[Attribute.RETRY_AFTER] = event.retry_after
        if event.first:
            emit_event(self.logger, Event.REJECTED, attributes, severity=SeverityNumber.WARN, span=span)
        else:
            _add_event(span, attributes)

    def duration(self, name: str, result: str, seconds: float) -> None:
        """Record how long an admitted call took (opt-in: this is paid on every call)."""
        try:
            self._duration.record(seconds, {Attribute.NAME: name, Attribute.RESULT: result})
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the operation
            _log.warning("metrics.record_failed name=%s error=%s", name, error)


def telemetry_for(instrumentation: Instrumentation | None) -> BreakerTelemetry:
    """The telemetry of this instrumentation, or of the global providers."""
    return _following_globals() if instrumentation is None else _meters.telemetry(instrumentation)


@functools.lru_cache(maxsize=1)
def _following_globals() -> BreakerTelemetry:
    # The global providers are set once in a process and the API's proxies follow them, so what
    # follows them is made once, too.
    return BreakerTelemetry(Instrumentation.from_providers())


def _add_event(span: trace.Span, attributes: Mapping[str, str | float]) -> None:
    try:
        span.add_event(Event.REJECTED, attributes)
    except Exception:  # noqa: BLE001 - telemetry never breaks the operation
        _log.debug("event %s could not be added", Event.REJECTED, exc_info=True)


class _Meters:
    """What hangs on each meter: its live breakers and the telemetry objects made for it.

    Instruments are made outside the lock: the SDK calls back into `sets` while it holds its own.
    """

    def __init__(self) -> None:
        self._held: list[LiveBreakers] = []
        self._live: weakref.WeakKeyDictionary[Meter, LiveBreakers] = weakref.WeakKeyDictionary()
        # The telemetry objects weakly, too: their instruments lead back to the meter, which is the key.
        self._made: weakref.WeakKeyDictionary[Meter, weakref.WeakSet[BreakerTelemetry]] = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()
        hold_at_fork(self)

    def hold(self) -> None:
        """Before a fork: nobody changes the dictionaries, or any of the breakers."""
        self._lock.acquire()
        self._held = list(self._live.values())
        for live in self._held:
            live.hold()

    def let_go(self, *, in_child: bool) -> None:
        """After a fork."""
        while self._held:
            self._held.pop().let_go(in_child=in_child)
        self._lock.release()

    def telemetry(self, instrumentation: Instrumentation) -> BreakerTelemetry:
        """The one telemetry object of this instrumentation."""
        if (found := self._find(instrumentation)) is not None:
            return found
        made = BreakerTelemetry(instrumentation)
        with self._lock:
            if (found := self._find(instrumentation)) is not None:
                return found
            self._made.setdefault(instrumentation.meter, weakref.WeakSet()).add(made)
        return made

    def live(self, instrumentation: Instrumentation) -> LiveBreakers:
        """The live breakers of this meter; the first asking registers their callbacks."""
        meter = instrumentation.meter
        with self._lock:
            found = self._live.get(meter)
            if found is not None:
                return found
            live = self._live[meter] = LiveBreakers()
        for name, read in _READERS.items():
            instrumentation.observe(name, functools.partial(_observe, meter, read))
        return live

    def sets(self, meter: Meter) -> list[LiveBreakers]:
        """All live breakers that report to the same SDK meter as `meter`."""
        real = _real(meter)
        with self._lock:
            return [live for other, live in list(self._live.items()) if _real(other) is real]

    def _find(self, instrumentation: Instrumentation) -> BreakerTelemetry | None:
        with self._lock:
            made = self._made.get(instrumentation.meter, ())
            return next((telemetry for telemetry in made if telemetry.logger is instrumentation.logger), None)


def _observe(
    meter: Meter, read: Callable[[list[Watched]], Iterable[Observation]], _options: CallbackOptions
) -> Iterator[Observation]:
    """Read every live breaker of the meter, those of one name together."""
    merged: dict[str, list[Watched]] = {}
    for live in _meters.sets(meter):
        for group in live.groups():
            merged.setdefault(group[0].name, []).extend(group)
    for group in merged.values():
        yield from read(group)


def _real(meter: Meter) -> Meter:
    # Meters taken before the global provider was set are proxies of the one the SDK collects.
    return getattr(meter, "_real_meter", None) or meter


def _read_state(group: list[Watched]) -> Iterator[Observation]:
    yield Observation(_worst(group).state.value, {Attribute.NAME: group[0].name})


def _read_calls(group: list[Watched]) -> Iterator[Observation]:
    totals: dict[str, int] = {}
    for breaker in group:
        for result, count in breaker.call_counts().items():
            totals[result] = totals.get(result, 0) + count
    for result, count in totals.items():
        yield Observation(count, {Attribute.NAME: group[0].name, Attribute.RESULT: result})


def _read_status(group: list[Watched]) -> Iterator[Observation]:
    worst = _worst(group)
    held = worst.mode in {BreakerMode.ISOLATED, BreakerMode.DISABLED}
    current = worst.mode.value if held else worst.state.name.lower()
    for status in _STATUSES:
        yield Observation(int(status == current), {Attribute.NAME: group[0].name, Attribute.STATE: status})


def _worst(group: list[Watched]) -> Watched:
    """Of several breakers under one name, the one furthest from closed."""
    order = (CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN, CircuitBreakerState.OPEN)
    return max(group, key=lambda breaker: order.index(breaker.state))


_READERS: Mapping[str, Callable[[list[Watched]], Iterable[Observation]]] = {
    "circuit_breaker.state": _read_state,
    "circuit_breaker.calls": _read_calls,
    "circuit_breaker.status": _read_status,
}

_meters = _Meters()
