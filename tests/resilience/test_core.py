"""The state machine by tables of cases: values in, decisions out."""

from __future__ import annotations

import pytest

from tracefuse.resilience import TRANSITIONS, BreakerConfig, BreakerMode, CircuitBreakerState, Outcome, Reason
from tracefuse.resilience._core import UNBOUND, BreakerCore

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState
SUCCESS, FAILURE, UNEXPECTED, IGNORED = Outcome
CONFIG = BreakerConfig(
    failure_threshold=2,
    recovery_timeout=10.0,
    jitter=0.0,
    max_timeout=40.0,
    timeout_multiplier=2.0,
    success_threshold=2,
)


def config(**changes: object) -> BreakerConfig:
    return BreakerConfig(
        **{
            "failure_threshold": 2,
            "recovery_timeout": 10.0,
            "jitter": 0.0,
            "max_timeout": 40.0,
            "timeout_multiplier": 2.0,
            **changes,
        }
    )


def core_in(state: CircuitBreakerState, settings: BreakerConfig = CONFIG) -> BreakerCore:
    """A core brought to `state` at instant 0 (half-open at 10) by asking and settling alone."""
    core = BreakerCore(settings)
    if state is not CLOSED:
        for _ in range(settings.failure_threshold):
            settle(core, FAILURE, 0.0)
    if state is HALF_OPEN:
        settle(core, IGNORED, 10.0)
    assert core.state is state
    return core


def settle(core: BreakerCore, outcome: Outcome, now: float, elapsed: float = 0.0, hint: float = 0.0) -> Reason | None:
    permit, _ = core.admit(now)
    assert permit is not None
    transition = core.settle(permit, outcome, now, elapsed, hint)
    return transition.reason if transition else None


@pytest.mark.parametrize(
    ("state", "outcome", "reason"),
    [
        (CLOSED, SUCCESS, None),
        (CLOSED, IGNORED, None),
        (CLOSED, UNEXPECTED, None),
        (CLOSED, FAILURE, None),
        (HALF_OPEN, SUCCESS, None),
        (HALF_OPEN, IGNORED, None),
        (HALF_OPEN, UNEXPECTED, Reason.PROBE_FAILED),
        (HALF_OPEN, FAILURE, Reason.PROBE_FAILED),
    ],
)
def test_one_outcome(state: CircuitBreakerState, outcome: Outcome, reason: Reason | None) -> None:
    assert settle(core_in(state), outcome, 10.0) is reason


def test_a_streak_of_failures_trips_and_a_success_breaks_it() -> None:
    core = core_in(CLOSED)
    assert [settle(core, outcome, 0.0) for outcome in (FAILURE, SUCCESS, FAILURE, IGNORED, UNEXPECTED)] == [None] * 5
    assert settle(core, FAILURE, 0.0) is Reason.FAILURE_THRESHOLD


def test_an_open_circuit_refuses_until_its_wait_is_over() -> None:
    core = core_in(OPEN)
    assert core.admit(9.999) == (None, None)
    assert core.barred_until == 10.0
    assert core.retry_after(4.0) == 6.0
    permit, transition = core.admit(10.0)
    assert permit is not None
    assert transition is not None
    assert (transition.from_state, transition.to_state) == (OPEN, HALF_OPEN)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_half_open_admits_exactly_its_limit(limit: int) -> None:
    core = core_in(HALF_OPEN, config(half_open_max_calls=limit))
    permits = [core.admit(10.0)[0] for _ in range(limit + 3)]
    assert [permit is not None for permit in permits] == [True] * limit + [False] * 3


def test_half_open_closes_after_enough_successes_in_a_row() -> None:
    core = core_in(HALF_OPEN)
    assert settle(core, SUCCESS, 11.0) is None
    assert settle(core, SUCCESS, 12.0) is Reason.SUCCESS_THRESHOLD
    assert core.failures == 0


def test_the_wait_grows_to_its_maximum_and_falls_back_on_closing() -> None:
    core, now, waits = core_in(OPEN, config(success_threshold=1)), 0.0, []
    for _ in range(4):
        waits.append(core.until - now)
        now = core.until
        settle(core, FAILURE, now)
    assert waits == [10.0, 20.0, 40.0, 40.0]
    settle(core, SUCCESS, core.until)
    assert (core.state, core.wait) == (CLOSED, 10.0)


def test_a_flapping_dependency_is_left_alone_for_longer_each_time() -> None:
    core = core_in(OPEN, config(success_threshold=1, backoff_reset_after=100.0))
    waits = []
    for healthy in (5.0, 5.0, 99.0, 100.0):
        now = core.until
        settle(core, SUCCESS, now)
        now += healthy
        settle(core, FAILURE, now)
        settle(core, FAILURE, now)
        waits.append(core.until - now)
    assert waits == [20.0, 40.0, 40.0, 10.0]


def test_jitter_is_taken_once_and_retry_after_comes_from_the_same_deadline() -> None:
    core = BreakerCore(CONFIG)
    core.jitter = 1.1
    settle(core, FAILURE, 0.0)
    settle(core, FAILURE, 0.0)
    core.jitter = 0.9
    assert core.retry_after(0.0) == pytest.approx(11.0)
    assert core.admit(10.9)[0] is None
    assert core.admit(11.0)[0] is not None


@pytest.mark.parametrize(("hint", "wait"), [(0.0, 10.0), (3.0, 10.0), (25.0, 25.0), (9999.0, 40.0)])
def test_a_failure_may_ask_for_a_longer_wait_up_to_the_maximum(hint: float, wait: float) -> None:
    core = core_in(CLOSED)
    settle(core, FAILURE, 0.0, hint=hint)
    settle(core, FAILURE, 0.0, hint=hint)
    assert core.until == wait


def test_a_failure_rate_needs_the_minimum_of_calls() -> None:
    core = BreakerCore(config(failure_rate=0.5, minimum_calls=4, window=10))
    assert [settle(core, outcome, 0.0) for outcome in (FAILURE, FAILURE, SUCCESS)] == [None] * 3
    assert settle(core, SUCCESS, 0.0) is Reason.FAILURE_RATE


def test_a_failure_rate_over_time_forgets() -> None:
    core = BreakerCore(config(failure_rate=0.5, minimum_calls=2, window_seconds=10.0))
    assert settle(core, FAILURE, 0.0) is None
    assert settle(core, SUCCESS, 20.0) is None
    assert settle(core, FAILURE, 21.0) is Reason.FAILURE_RATE


def test_slow_calls_trip_and_a_slow_probe_reopens() -> None:
    core = BreakerCore(config(slow_call_rate=1.0, slow_call_duration=2.0, minimum_calls=2))
    assert settle(core, SUCCESS, 0.0, elapsed=2.0) is None
    assert settle(core, SUCCESS, 0.0, elapsed=3.0) is Reason.SLOW_CALL_RATE
    assert settle(core, SUCCESS, 10.0, elapsed=2.0) is Reason.PROBE_FAILED


def test_lost_probes_reopen_after_their_deadline() -> None:
    core = core_in(HALF_OPEN, config(half_open_timeout=30.0))
    core.admit(20.0)
    assert core.admit(49.9) == (None, None)
    permit, transition = core.admit(50.0)
    assert permit is None
    assert transition is not None
    assert transition.reason is Reason.HALF_OPEN_TIMEOUT
    assert core.until == 70.0


def test_a_probe_that_ends_after_the_deadline_still_counts_when_nobody_asked() -> None:
    core = core_in(HALF_OPEN, config(half_open_timeout=30.0, success_threshold=1))
    permit, _ = core.admit(20.0)
    assert permit is not None
    transition = core.settle(permit, SUCCESS, 500.0)
    assert transition is not None
    assert core.state is CLOSED


@pytest.mark.parametrize("state", CircuitBreakerState)
def test_modes_override_admission_and_leave_the_state(state: CircuitBreakerState) -> None:
    core = core_in(state)
    core.set_mode(BreakerMode.ISOLATED)
    assert core.admit(1e6) == (None, None)
    assert core.retry_after(1e6) is None
    core.set_mode(BreakerMode.DISABLED)
    assert core.admit(1e6) == (UNBOUND, None)
    assert core.settle(UNBOUND, FAILURE, 1e6) is None
    assert core.set_mode(BreakerMode.NORMAL) is BreakerMode.DISABLED
    assert core.state is state


def test_shadow_decides_without_enforcing() -> None:
    core = core_in(CLOSED)
    core.set_mode(BreakerMode.SHADOW)
    settle(core, FAILURE, 0.0)
    assert settle(core, FAILURE, 0.0) is Reason.FAILURE_THRESHOLD
    assert core.admit(1.0) == (UNBOUND, None)
    assert core.barred_until < 0
    permit, transition = core.admit(10.0)
    assert permit is not UNBOUND
    assert transition is not None


@pytest.mark.parametrize("state", CircuitBreakerState)
def test_forcing_twice_is_forcing_once(state: CircuitBreakerState) -> None:
    core = core_in(state)
    assert (core.force_open(5.0) is None) == (state is OPEN)
    assert core.force_open(6.0) is None
    assert core.failures >= CONFIG.failure_threshold
    assert core.force_close(7.0) is not None
    assert core.force_close(8.0) is None
    assert (core.state, core.failures, core.wait) == (CLOSED, 0, 10.0)


def test_forcing_closed_forgets_the_streak_and_calls_under_way() -> None:
    core = core_in(CLOSED)
    settle(core, FAILURE, 0.0)
    late, _ = core.admit(0.0)
    assert late is not None
    core.force_close(0.0)
    core.settle(late, FAILURE, 0.0)
    assert settle(core, FAILURE, 0.0) is None


def test_reports_from_outside_count_but_free_no_probe() -> None:
    core = core_in(HALF_OPEN)
    probe, _ = core.admit(10.0)
    assert core.report(SUCCESS, 10.0) is None
    assert core.admit(10.0)[0] is None
    assert probe is not None
    assert core.settle(probe, SUCCESS, 10.0) is not None
    opened = core_in(OPEN)
    assert opened.report(SUCCESS, 100.0) is None
    assert opened.state is OPEN


def test_restoring_opens_for_the_rest_of_the_wait() -> None:
    core = core_in(CLOSED)
    transition = core.restore(100.0, wait=20.0, remaining=7.0, failures=4)
    assert transition is not None
    assert (transition.reason, transition.retry_after, core.wait, core.failures) == (Reason.RESTORED, 7.0, 20.0, 4)
    assert core.restore(100.0, 20.0, 7.0, 4) is None


def test_reconfiguring_keeps_the_state() -> None:
    core = core_in(OPEN)
    core.reconfigure(config(recovery_timeout=2.0), 0.0)
    assert (core.state, core.until, core.barred_until) == (OPEN, 2.0, 2.0)
    closed = core_in(CLOSED)
    settle(closed, FAILURE, 0.0)
    closed.reconfigure(config(failure_threshold=3), 0.0)
    assert settle(closed, FAILURE, 0.0) is None
    assert settle(closed, FAILURE, 0.0) is Reason.FAILURE_THRESHOLD


def test_every_reason_has_a_place_in_the_table() -> None:
    assert {reason for _, reason in TRANSITIONS} == set(Reason)
    assert all(TRANSITIONS[state, reason] is not state for state, reason in TRANSITIONS)
