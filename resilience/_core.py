"""The circuit breaker's state machine: everything that changes the state is in this file.

No clock, lock, I/O or callback lives here: every method takes the time it happens at and returns
what it decided. The state moves only in `BreakerCore._move`, along `TRANSITIONS`, at most once per
call. Theory: a call asks for leave (`admit`) and hands back the permit with how it ended (`settle`).
Each state has a permit of its own, so a late result of an older state is recognised and changes
nothing (the generations of sony/gobreaker, as an object's identity).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._events import BreakerMode, CircuitBreakerState, Outcome, Reason, Transition
from ._window import CountWindow, TimeWindow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._config import BreakerConfig
    from ._window import Window

__all__ = ["TRANSITIONS", "UNBOUND", "BreakerCore", "Permit"]

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState
ISOLATED = BreakerMode.ISOLATED
SUCCESS, FAILURE, IGNORED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED

NEVER, FOR_EVER = float("-inf"), float("inf")

TRANSITIONS: Final[Mapping[tuple[CircuitBreakerState, Reason], CircuitBreakerState]] = {
    (CLOSED, Reason.FAILURE_THRESHOLD): OPEN,
    (CLOSED, Reason.FAILURE_RATE): OPEN,
    (CLOSED, Reason.SLOW_CALL_RATE): OPEN,
    (CLOSED, Reason.FORCED_OPEN): OPEN,
    (CLOSED, Reason.RESTORED): OPEN,
    (OPEN, Reason.RECOVERY_TIMEOUT): HALF_OPEN,
    (OPEN, Reason.FORCED_CLOSE): CLOSED,
    (HALF_OPEN, Reason.SUCCESS_THRESHOLD): CLOSED,
    (HALF_OPEN, Reason.PROBE_FAILED): OPEN,
    (HALF_OPEN, Reason.HALF_OPEN_TIMEOUT): OPEN,
    (HALF_OPEN, Reason.FORCED_OPEN): OPEN,
    (HALF_OPEN, Reason.FORCED_CLOSE): CLOSED,
}
"""Every way the state can change. The diagrams of the documentation are drawn from it."""


class Permit:
    """Leave to make one call, good for the state it was given in."""

    __slots__ = ()


UNBOUND: Final = Permit()
"""The permit of a call whose end the state machine does not look at."""


class BreakerCore:
    """One breaker's state. Not safe to share: the shell serialises access.

    `standing` is the permit that any number of calls may take without asking, None when each call
    has to ask; before `barred_until` all of them may be refused without asking. `jitter` is the
    factor for the next wait: the shell sets it, drawn anew after use.
    """

    __slots__ = (
        "_closed_at",
        "_probes_succeeded",
        "_window",
        "barred_until",
        "config",
        "failures",
        "generation",
        "inflight",
        "jitter",
        "mode",
        "permit",
        "standing",
        "state",
        "successes",
        "until",
        "wait",
    )

    def __init__(self, config: BreakerConfig) -> None:
        self.config = config
        self.state = CLOSED
        self.mode = BreakerMode.NORMAL
        self.generation = 0
        self.failures = 0
        self.successes = 0
        self.wait = config.recovery_timeout
        self.jitter = 1.0
        self.until = 0.0
        self._closed_at = NEVER
        self.standing: Permit | None = None
        self.barred_until = NEVER
        self._enter(0.0)

    # asking and settling

    def admit(self, now: float) -> tuple[Permit | None, Transition | None]:
        """Ask for a permit at `now`; None is a refusal."""
        if self.standing is not None:
            return self.standing, None
        if self.mode is BreakerMode.ISOLATED:
            return None, None
        transition = None
        if self.state is OPEN and now >= self.until:
            transition = self._move(Reason.RECOVERY_TIMEOUT, now)
        elif self.state is HALF_OPEN and self._is_full() and now >= self.until:
            transition = self._move(Reason.HALF_OPEN_TIMEOUT, now)
        if self.state is HALF_OPEN and not self._is_full():
            self.inflight += 1
            self.until = now + self.config.half_open_timeout
            return self.permit, transition
        return UNBOUND if self.mode is BreakerMode.SHADOW else None, transition

    def settle(
        self, permit: Permit, outcome: Outcome, now: float, elapsed: float = 0.0, hint: float = 0.0
    ) -> Transition | None:
        """Take a permit back and learn from how the call ended, after `elapsed` seconds.

        `hint` is the wait the failure itself asked for, in seconds; 0 when it did not.
        """
        if permit is not self.permit:
            return None
        if self.state is HALF_OPEN:
            self.inflight -= 1
            return self._settle_probe(outcome, now, elapsed, hint)
        if outcome is SUCCESS:
            self.failures = 0
            self.successes += 1
        elif outcome is FAILURE:
            self.failures += 1
            self.successes = 0
        else:
            return None
        if self._window is not None:
            return self._trip_by_rate(self._window, outcome, now, elapsed, hint)
        if self.failures >= self.config.failure_threshold:
            return self._move(Reason.FAILURE_THRESHOLD, now, hint)
        return None

    def report(self, outcome: Outcome, now: float, hint: float = 0.0) -> Transition | None:
        """Learn from a call that was made without a permit."""
        if self.state is OPEN:
            return None
        if self.state is HALF_OPEN:
            self.inflight += 1
        return self.settle(self.permit, outcome, now, 0.0, hint)

    def retry_after(self, now: float) -> float | None:
        """Seconds until asking makes sense again; None when only the operator knows.

        While half-open that is not known: the least of five seconds, the wait and the probes' deadline.
        """
        if self.mode is ISOLATED:
            return None
        if self.state is OPEN:
            left = self.until - now
            return max(0.0, left)
        if self.state is HALF_OPEN:
            return max(0.0, min(5.0, self.wait, self.until - now))
        return 0.0

    # by hand

    def force_open(self, now: float) -> Transition | None:
        """Open now, for one wait, as if the threshold had been reached."""
        if self.state is OPEN:
            return None
        self.failures = max(self.failures, self.config.failure_threshold)
        return self._move(Reason.FORCED_OPEN, now)

    def force_half_open(self, now: float) -> Transition | None:
        """Begin probing now instead of waiting any longer; only while open."""
        return self._move(Reason.RECOVERY_TIMEOUT, now) if self.state is OPEN else None

    def force_close(self, now: float) -> Transition | None:
        """Close now and forget the streaks and the grown wait."""
        transition = None if self.state is CLOSED else self._move(Reason.FORCED_CLOSE, now)
        if transition is None:
            self._enter(now)
        self.failures = self.successes = 0
        self.wait = self.config.recovery_timeout
        self._closed_at = NEVER
        return transition

    def set_mode(self, mode: BreakerMode) -> BreakerMode:
        """Switch the operator's mode and return the old one; the state stays what it is."""
        old, self.mode = self.mode, mode
        self._stand()
        return old

    def restore(self, now: float, wait: float, remaining: float, failures: int) -> Transition | None:
        """Be open for `remaining` more seconds, as before a restart; only while closed."""
        if self.state is not CLOSED:
            return None
        self.failures = failures
        self.wait = min(max(wait, self.config.recovery_timeout), self.config.max_timeout)
        return self._move(Reason.RESTORED, now, remaining)

    def reconfigure(self, config: BreakerConfig, now: float) -> None:
        """Go on under `config` in the same state; a window starts anew when its shape changes.

        A deadline may come nearer by it, and never moves away. A wait that has grown stays grown, within the
        new limits.
        """
        old, self.config = self.config, config
        grown = self.wait if self.wait > old.recovery_timeout else 0.0
        self.wait = config.recovery_timeout
        if grown:
            self.wait = min(max(grown, config.recovery_timeout), config.max_timeout)
        if self.state is OPEN:
            self.until = min(self.until, now + self.wait * (1 + config.jitter))
            self._stand()
        elif self.state is HALF_OPEN:
            self.until = min(self.until, now + config.half_open_timeout)
        shape = (old.uses_rates, old.window, old.window_seconds)
        if shape != (config.uses_rates, config.window, config.window_seconds):
            self._window = self._new_window()

    # inside

    def _is_full(self) -> bool:
        return self.inflight >= self.config.half_open_max_calls

    def _settle_probe(self, outcome: Outcome, now: float, elapsed: float, hint: float) -> Transition | None:
        if outcome is IGNORED:
            return None
        config = self.config
        slow = config.slow_call_rate is not None and elapsed >= config.slow_call_duration
        if outcome is SUCCESS and not slow:
            self.failures = 0
            self.successes += 1
            self._probes_succeeded += 1
            if self._probes_succeeded >= config.success_threshold:
                return self._move(Reason.SUCCESS_THRESHOLD, now)
            return None
        self.failures += 1
        self.successes = 0
        return self._move(Reason.PROBE_FAILED, now, hint)

    def _trip_by_rate(
        self, window: Window, outcome: Outcome, now: float, elapsed: float, hint: float
    ) -> Transition | None:
        config = self.config
        window.record(now, failed=outcome is FAILURE, slow=elapsed >= config.slow_call_duration)
        totals = window.totals
        if totals.calls < config.minimum_calls:
            return None
        if config.failure_rate is not None and totals.failures >= config.failure_rate * totals.calls:
            return self._move(Reason.FAILURE_RATE, now, hint)
        if config.slow_call_rate is not None and totals.slow >= config.slow_call_rate * totals.calls:
            return self._move(Reason.SLOW_CALL_RATE, now, hint)
        return None

    def _move(self, reason: Reason, now: float, hint: float = 0.0) -> Transition:
        old = self.state
        details = self._details(reason)
        self.state = TRANSITIONS[old, reason]
        self.generation += 1
        if self.state is OPEN:
            self.wait = self._next_wait(reason, now)
            details["new_timeout"] = self.wait
        self._enter(now, reason, hint)
        retry_after = self.until - now if self.state is OPEN else None
        return Transition(old, self.state, reason, now, self.generation, self.failures, retry_after, details)

    def _next_wait(self, reason: Reason, now: float) -> float:
        """The wait of an opening: grown after a failed recovery, or after too short a healthy time."""
        if reason in {Reason.FORCED_OPEN, Reason.RESTORED}:
            return self.wait
        config = self.config
        relapsed = reason in {Reason.PROBE_FAILED, Reason.HALF_OPEN_TIMEOUT}
        if relapsed or now - self._closed_at < config.backoff_reset_after:
            return min(self.wait * config.timeout_multiplier, config.max_timeout)
        return config.recovery_timeout

    def _details(self, reason: Reason) -> dict[str, float]:
        """What the history tells about a change beside its reason."""
        if reason is Reason.RECOVERY_TIMEOUT:
            return {"recovery_timeout": self.wait}
        if reason is Reason.SUCCESS_THRESHOLD:
            return {"success_count": self._probes_succeeded}
        details: dict[str, float] = {"failure_count": self.failures, "consecutive_failures": self.failures}
        if reason in {Reason.FAILURE_RATE, Reason.SLOW_CALL_RATE} and self._window is not None:
            totals = self._window.totals
            details |= {"calls": totals.calls, "failures": totals.failures, "slow_calls": totals.slow}
        return details

    def _enter(self, now: float, reason: Reason | None = None, hint: float = 0.0) -> None:
        """Start the present state afresh: new permit, no probes, its deadline."""
        self.permit = Permit()
        self.inflight = self._probes_succeeded = 0
        self._window = self._new_window()
        if self.state is OPEN and reason is Reason.RESTORED:
            self.until = now + hint
        elif self.state is OPEN:
            self.until = now + max(self.wait * self.jitter, min(hint, self.config.max_timeout))
        elif self.state is HALF_OPEN:
            self.until = now + self.config.half_open_timeout
        elif reason is Reason.SUCCESS_THRESHOLD:
            self._closed_at = now
            if self.config.backoff_reset_after == 0:
                self.wait = self.config.recovery_timeout
        self._stand()

    def _stand(self) -> None:
        """Work out what needs no asking, after a change of state or mode."""
        self.standing, self.barred_until = None, NEVER
        match self.mode, self.state:
            case BreakerMode.ISOLATED, _:
                self.barred_until = FOR_EVER
            case BreakerMode.DISABLED, _:
                self.standing = UNBOUND
            case _, CircuitBreakerState.CLOSED:
                self.standing = self.permit
            case BreakerMode.NORMAL, CircuitBreakerState.OPEN:
                self.barred_until = self.until
            case _:
                pass

    def _new_window(self) -> Window | None:
        config = self.config
        if self.state is not CLOSED or not config.uses_rates:
            return None
        return CountWindow(config.window) if config.window_seconds is None else TimeWindow(config.window_seconds)
