"""New settings for a breaker that lives: what it learned stays, and nobody waits longer for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.resilience import BreakerConfig, BreakerMode, CircuitBreaker, CircuitBreakerState, Outcome
from tracefuse.resilience._core import BreakerCore
from tracefuse.resilience.testing import FakeClock

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState

CONFIGS = st.builds(
    BreakerConfig,
    failure_threshold=st.integers(1, 4),
    recovery_timeout=st.sampled_from([1.0, 10.0, 50.0]),
    max_timeout=st.sampled_from([50.0, 200.0]),
    timeout_multiplier=st.sampled_from([1.0, 2.0]),
    success_threshold=st.integers(1, 3),
    half_open_max_calls=st.integers(1, 2),
    half_open_timeout=st.sampled_from([5.0, 60.0]),
    jitter=st.sampled_from([0.0, 0.1]),
    failure_rate=st.sampled_from([None, 0.5]),
    minimum_calls=st.just(2),
    window=st.sampled_from([4, 10]),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["success", "failure", "ask", "wait"]), st.sampled_from([0.0, 1.0, 30.0])), max_size=25
)


def walk(core: BreakerCore, steps: list[tuple[str, float]]) -> float:
    """Ask, settle and wait as told; the time at the end."""
    now = 0.0
    for step, seconds in steps:
        now += seconds
        permit = None if step == "wait" else core.admit(now)[0]
        if permit is not None and step in {"success", "failure"}:
            core.settle(permit, Outcome.SUCCESS if step == "success" else Outcome.FAILURE, now)
    return now


@given(CONFIGS, CONFIGS, STEPS, st.sampled_from(BreakerMode))
def test_nothing_that_was_learned_is_lost_and_no_deadline_moves_away(
    old: BreakerConfig, new: BreakerConfig, steps: list[tuple[str, float]], mode: BreakerMode
) -> None:
    core = BreakerCore(old)
    now = walk(core, steps)
    core.set_mode(mode)
    before = (core.state, core.mode, core.failures, core.successes, core.generation, core.inflight, core.permit)
    until, standing, grown = core.until, core.standing, core.wait > old.recovery_timeout
    core.reconfigure(new, now)
    assert (
        core.state, core.mode, core.failures, core.successes, core.generation, core.inflight, core.permit
    ) == before  # fmt: skip
    assert core.until <= until
    assert core.standing is standing
    assert new.recovery_timeout <= core.wait <= max(new.max_timeout, new.recovery_timeout)
    assert grown or core.wait == new.recovery_timeout
    if core.state is OPEN:
        assert core.until <= max(now, now + core.wait * (1 + new.jitter))
        assert mode is not BreakerMode.NORMAL or core.barred_until == core.until


@given(CONFIGS, STEPS)
def test_the_same_settings_again_change_nothing(config: BreakerConfig, steps: list[tuple[str, float]]) -> None:
    one, other = BreakerCore(config), BreakerCore(config)
    now = walk(one, steps)
    walk(other, steps)
    one.reconfigure(config, now)
    assert (one.state, one.wait, one.failures) == (other.state, other.wait, other.failures)
    # And both decide the same from then on.
    for later in (now, now + 1, now + 20, now + 300):
        assert (one.admit(later)[0] is None) == (other.admit(later)[0] is None)
        assert one.state is other.state


@given(CONFIGS, CONFIGS, STEPS)
def test_a_breaker_can_always_recover_after_new_settings(
    old: BreakerConfig, new: BreakerConfig, steps: list[tuple[str, float]]
) -> None:
    core = BreakerCore(old)
    now = walk(core, steps)
    core.reconfigure(new, now)
    for _ in range(10):
        now += 1_000.0
        # The first may find that a probe was lost, and be refused for that.
        if (permit := core.admit(now)[0]) is not None:
            core.settle(permit, Outcome.SUCCESS, now)
    assert core.state is CLOSED


def test_a_longer_recovery_time_holds_also_where_the_wait_had_grown() -> None:
    core = BreakerCore(BreakerConfig(failure_threshold=1, recovery_timeout=1.0, timeout_multiplier=2.0, jitter=0.0))
    walk(core, [("failure", 0.0), ("failure", 1.0)])
    assert (core.state, core.wait) == (OPEN, 2.0)
    core.reconfigure(BreakerConfig(failure_threshold=1, recovery_timeout=50.0, jitter=0.0), 1.0)
    assert (core.wait, core.until) == (50.0, 3.0)


def test_a_lost_probe_is_waited_for_no_longer_than_the_new_settings_say() -> None:
    core = BreakerCore(BreakerConfig(failure_threshold=1, recovery_timeout=1.0, jitter=0.0, half_open_timeout=600.0))
    walk(core, [("failure", 0.0), ("ask", 1.0)])
    assert (core.state, core.until) == (HALF_OPEN, 601.0)
    core.reconfigure(BreakerConfig(failure_threshold=1, recovery_timeout=1.0, half_open_timeout=5.0), 1.0)
    assert core.until == 6.0


def test_a_breaker_in_use_keeps_its_counts() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker.from_config("db", BreakerConfig(failure_threshold=3, recovery_timeout=10.0), clock=clock)
    for _ in range(2):
        with pytest.raises(OSError, match="down"), breaker:
            raise OSError("down")
    breaker.reconfigure(BreakerConfig(failure_threshold=2, recovery_timeout=10.0))
    assert (breaker.state, breaker.call_counts()["failure"]) == (CLOSED, 2)
    with pytest.raises(OSError, match="down"), breaker:
        raise OSError("down")
    assert (breaker.state, breaker.call_counts()["failure"]) == (OPEN, 3)
