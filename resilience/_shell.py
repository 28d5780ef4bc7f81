"""The shell round the state machine: clock, lock, counts, listeners and telemetry for one breaker.

The lock guards arithmetic only: it is never held across a call, an await or a listener, so one
breaker serves any number of threads and event loops. It is reentrant because the end of an abandoned
call can come from the garbage collector or a signal handler, in the middle of that arithmetic and
on the same thread.
"""

from __future__ import annotations

import logging
import random as random_module
import threading
import time
from math import ceil
from typing import TYPE_CHECKING

from opentelemetry.context import get_current

from ._classify import classify, classify_result, describe
from ._core import BreakerCore
from ._errors import CircuitBreakerOpenError
from ._events import BreakerMode, CallFinished, CallRejected, CircuitBreakerState, Outcome, Transition
from ._log import log_transition
from ._notify import Notifier
from ._otel import telemetry_for
from ._tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tracefuse.telemetry import Instrumentation

    from ._config import BreakerConfig
    from ._core import Permit
    from ._events import BreakerEvent, Listener

__all__ = ["BreakerShell"]

_log = logging.getLogger("tracefuse.resilience")
SUCCESS, IGNORED, UNEXPECTED = Outcome.SUCCESS, Outcome.IGNORED, Outcome.UNEXPECTED
HALF_OPEN, ISOLATED = CircuitBreakerState.HALF_OPEN, BreakerMode.ISOLATED


class BreakerShell:
    """One breaker, spoken to in permits. `CircuitBreaker` adds the forms of a call.

    `clock` must be monotonic; `wall_clock` is for what is shown and stored; `random` gives numbers
    from 0 to 1 for the jitter.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_core",
        "_first_rejection_of",
        "_listeners",
        "_lock",
        "_measures",
        "_name",
        "_notifier",
        "_random",
        "_tally",
        "_telemetry",
        "_wall_clock",
        "_watched",
    )

    def __init__(
        self,
        name: str,
        config: BreakerConfig,
        *,
        listeners: Iterable[Listener] = (),
        instrumentation: Instrumentation | None = None,
        measure_duration: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251 - shown and stored only
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._name = name
        self._core = BreakerCore(config)
        self._tally = Tally()
        self._lock = threading.RLock()
        self._clock = clock
        self._wall_clock = wall_clock
        self._random = random
        self._listeners = tuple(listeners)
        self._measures = measure_duration
        self._watched = measure_duration or bool(self._listeners)
        self._notifier: Notifier | None = None
        self._first_rejection_of = -1
        self._draw_jitter()
        self._telemetry = telemetry_for(instrumentation)
        self._telemetry.watch(self)
        _log.info(
            "circuit_breaker.created name=%s threshold=%d timeout=%.1f success_threshold=%d",
            *(name, config.failure_threshold, config.recovery_timeout, config.success_threshold),
        )

    def __repr__(self) -> str:
        mode = "" if self.mode is BreakerMode.NORMAL else f" {self.mode}"
        return f"<{type(self).__name__} {self._name!r} {self.state.name}{mode}>"

    @property
    def name(self) -> str:
        """The name in metrics, events and errors."""
        return self._name

    @property
    def state(self) -> CircuitBreakerState:
        """The state as of the last call: an open breaker becomes half-open when it is next asked."""
        return self._core.state

    @property
    def mode(self) -> BreakerMode:
        """What the operator asked for."""
        return self._core.mode

    @property
    def config(self) -> BreakerConfig:
        """The settings in force."""
        return self._core.config

    @property
    def retry_after(self) -> float | None:
        """Seconds until asking makes sense again: 0 while calls are let through, None while isolated."""
        with self._lock:
            return self._core.retry_after(self._clock())

    def call_counts(self) -> Mapping[str, int]:
        """Ended and rejected calls by result, as the metric `circuit_breaker.calls` reports them."""
        with self._lock:
            tally = self._tally
            return {
                "success": tally.successful,
                "failure": tally.failed,
                "rejected": tally.asked()[1],
                "unexpected_failure": tally.unexpected,
                "ignored": tally.ignored,
            }

    # asking and settling

    def _admit(self) -> Permit:
        """Ask the state machine for a permit; the way of every call that finds no standing one."""
        core = self._core
        now = self._clock()
        # Refusing changes nothing but a count, so an open circuit needs no lock to say no.
        if now < core.barred_until:
            raise self._rejection(now)
        with self._lock:
            permit, transition = core.admit(now)
            if transition is not None:
                self._took_place(transition)
        if transition is not None:
            self._announce()
        if permit is None:
            raise self._rejection(now)
        return permit

    def _rejection(self, now: float) -> CircuitBreakerOpenError:
        core = self._core
        next(self._tally.rejections)
        state, mode, retry_after = core.state, core.mode, core.retry_after(now)
        if retry_after is not None:
            # Up, to a hundredth: whoever waits this long is not refused for a rounding error.
            retry_after = ceil(retry_after * 100 - 1e-6) / 100
        if self._first_rejection_of != core.generation or get_current() or self._listeners:
            self._tell_rejection(state, mode, retry_after)
        if mode is ISOLATED:
            message = f"Circuit breaker is isolated for {self._name}"
        elif state is HALF_OPEN:
            message = f"Circuit breaker is testing recovery for {self._name}"
        else:
            message = f"Circuit breaker is open for {self._name}"
        return CircuitBreakerOpenError(message, retry_after, self._name)

    def _tell_rejection(self, state: CircuitBreakerState, mode: BreakerMode, retry_after: float | None) -> None:
        event = CallRejected(state, mode, retry_after, self._is_first_rejection())
        self._telemetry.rejected(self._name, event)
        if self._listeners:
            self._tell(event)

    def _is_first_rejection(self) -> bool:
        with self._lock:
            first = self._first_rejection_of != self._core.generation
            self._first_rejection_of = self._core.generation
            return first

    def _succeeded(self, permit: Permit, began: float, result: object = None) -> bool:
        """Settle a call that returned; says whether the state changed."""
        core = self._core
        if core.config.failed_result is not None:
            outcome = classify_result(core.config, result)
            if outcome is not SUCCESS:
                return self._settle(permit, outcome, began, self._clock())
        now = self._clock()
        elapsed = now - began
        tally = self._tally
        with self._lock:
            tally.successful += 1
            tally.latency += elapsed
            tally.last_success = now
            failures = core.failures
            transition = core.settle(permit, SUCCESS, now, elapsed)
            if transition is not None:
                self._took_place(transition)
        if failures and not core.failures:
            _log.debug("circuit_breaker.failure_count_reset name=%s failures=%d", self._name, failures)
        if transition is not None or self._watched:
            self._after_call(SUCCESS, elapsed, None)
        return transition is not None

    def _failed(self, permit: Permit, began: float, error: BaseException) -> bool:
        """Settle a call that raised; says whether the state changed."""
        now = self._clock()
        elapsed = now - began
        core, tally = self._core, self._tally
        outcome = classify(core.config, error, elapsed)
        if outcome is IGNORED:
            return self._settle(permit, outcome, began, now, error)
        if outcome is UNEXPECTED:
            _log.warning("circuit_breaker.unexpected_error name=%s error_type=%s", self._name, type(error).__name__)
        # The exception is a user's code: whatever it is asked, it is asked outside the lock.
        text, hint = describe(error)
        with self._lock:
            tally.add_error(outcome, now, elapsed, type(error).__name__, text)
            transition = core.settle(permit, outcome, now, elapsed, hint)
            if transition is not None:
                self._took_place(transition)
        if transition is not None or self._watched:
            self._after_call(outcome, elapsed, error)
        return transition is not None

    def _settle(
        self, permit: Permit, outcome: Outcome, began: float, now: float, error: BaseException | None = None
    ) -> bool:
        """Settle a call that ended without an error to remember."""
        elapsed = now - began
        with self._lock:
            self._tally.add(outcome, now, elapsed)
            transition = self._core.settle(permit, outcome, now, elapsed)
            if transition is not None:
                self._took_place(transition)
        if transition is not None or self._watched:
            self._after_call(outcome, elapsed, error)
        return transition is not None

    def _report(self, outcome: Outcome, error: BaseException | None = None) -> bool:
        """Count a call that was made elsewhere, without a permit."""
        text, hint = ("", 0.0) if error is None else describe(error)
        with self._lock:
            now = self._clock()
            next(self._tally.admissions)
            if error is None:
                self._tally.add(outcome, now, 0.0)
            else:
                self._tally.add_error(outcome, now, 0.0, type(error).__name__, text)
            transition = self._core.report(outcome, now, hint)
            if transition is not None:
                self._took_place(transition)
        if transition is not None or self._watched:
            self._after_call(outcome, 0.0, error)
        return transition is not None

    # telling

    def _took_place(self, transition: Transition) -> None:
        """Note a change of state; under the lock, so that history and listeners see the true order."""
        self._tally.note_change(transition, self._wall_clock())
        if transition.to_state is CircuitBreakerState.OPEN:
            self._draw_jitter()
        self._queue().push((self._on_transition, *self._listeners), transition)

    def _draw_jitter(self) -> None:
        # Drawn ahead, one factor for each opening, so that the state machine takes it as a value.
        self._core.jitter = 1.0 + self._core.config.jitter * (2.0 * self._random() - 1.0)

    def _on_transition(self, name: str, event: BreakerEvent) -> None:
        if isinstance(event, Transition):
            log_transition(name, event)
            self._telemetry.transition(name, event)

    def _after_call(self, outcome: Outcome, elapsed: float, error: BaseException | None) -> None:
        if self._measures:
            self._telemetry.duration(self._name, outcome.value, elapsed)
        if self._listeners:
            self._tell(CallFinished(outcome, elapsed, error))
        else:
            self._announce()

    def _tell(self, event: BreakerEvent) -> None:
        with self._lock:
            self._queue().push(self._listeners, event)
        self._announce()

    def _queue(self) -> Notifier:
        if self._notifier is None:
            self._notifier = Notifier(self._name)
        return self._notifier

    def _announce(self) -> None:
        if self._notifier is not None:
            self._notifier.drain()

    async def _heard(self) -> None:
        """Let the asynchronous listeners of what just happened finish."""
        if self._notifier is not None and self._notifier.tasks:
            await self._notifier.settled()

    def _forget(self) -> None:
        """Start from nothing; the caller holds the lock."""
        self._core = BreakerCore(self._core.config)
        self._draw_jitter()
        self._tally = Tally()
        self._first_rejection_of = -1

    def _hold(self) -> None:
        self._lock.acquire()

    def _let_go(self, *, in_child: bool) -> None:
        if in_child:
            self._mend()
        self._lock.release()

    def _mend(self) -> None:
        """In a forked child: all children of one parent would probe at the same moment."""
        self._draw_jitter()
        if self._notifier is not None:
            self._notifier.after_fork_in_child()
