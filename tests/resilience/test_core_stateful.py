"""The state machine against a naive model, driven by Hypothesis.

The model keeps lists and recomputes everything from them; it shares no arithmetic with the core.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tracefuse.resilience import TRANSITIONS, BreakerConfig, BreakerMode, CircuitBreakerState, Outcome, Transition
from tracefuse.resilience._core import UNBOUND, BreakerCore, Permit

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState
SUCCESS, FAILURE, UNEXPECTED, IGNORED = Outcome
HOLDING = {BreakerMode.ISOLATED, BreakerMode.DISABLED}


@dataclass
class Model:
    """What a breaker is, said as plainly as possible."""

    config: BreakerConfig
    state: CircuitBreakerState = CLOSED
    mode: BreakerMode = BreakerMode.NORMAL
    era: int = 0
    wait: float = 0.0
    deadline: float = 0.0
    closed_at: float | None = None
    streak: int = 0
    ends: list[tuple[float, Outcome, float]] = field(default_factory=list)
    probes: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wait = self.config.recovery_timeout

    def move(self, state: CircuitBreakerState, now: float) -> None:
        self.state = state
        self.era += 1
        self.ends, self.probes = [], []
        if state is HALF_OPEN:
            self.deadline = now + self.config.half_open_timeout

    def open(self, now: float, *, grow: bool, jitter: float, hint: float) -> None:
        if grow:
            self.wait = min(self.wait * self.config.timeout_multiplier, self.config.max_timeout)
        self.move(OPEN, now)
        self.deadline = now + max(self.wait * jitter, min(hint, self.config.max_timeout))

    def trips(self, now: float) -> bool:
        if not self.config.uses_rates:
            return self.streak >= self.config.failure_threshold
        ends = self.ends[-self.config.window :]
        if len(ends) < self.config.minimum_calls:
            return False
        failed = sum(outcome is FAILURE for _, outcome, _ in ends)
        slow = sum(elapsed >= self.config.slow_call_duration for _, _, elapsed in ends)
        by_failures = self.config.failure_rate is not None and failed / len(ends) >= self.config.failure_rate
        return by_failures or (
            self.config.slow_call_rate is not None and slow / len(ends) >= self.config.slow_call_rate
        )


CONFIGS = st.builds(
    BreakerConfig,
    failure_threshold=st.integers(1, 3),
    recovery_timeout=st.just(10.0),
    max_timeout=st.sampled_from([10.0, 25.0, 300.0]),
    timeout_multiplier=st.sampled_from([1.0, 2.0]),
    success_threshold=st.integers(1, 3),
    half_open_max_calls=st.integers(1, 3),
    half_open_timeout=st.sampled_from([5.0, 20.0]),
    backoff_reset_after=st.sampled_from([0.0, 12.0]),
    failure_rate=st.sampled_from([None, None, 0.5]),
    slow_call_rate=st.sampled_from([None, 0.5]),
    slow_call_duration=st.just(2.0),
    window=st.integers(2, 4),
    minimum_calls=st.integers(1, 3),
)


class CoreMachine(RuleBasedStateMachine):
    permits = Bundle("permits")

    @initialize(config=CONFIGS)
    def begin(self, config: BreakerConfig) -> None:
        self.config = config
        self.core = BreakerCore(config)
        self.model = Model(config)
        self.now = 0.0
        self.log: list[Transition] = []

    def took_place(self, transition: Transition | None, expected: CircuitBreakerState | None) -> None:
        assert (transition.to_state if transition else None) is expected
        if transition:
            assert TRANSITIONS[transition.from_state, transition.reason] is transition.to_state
            assert transition.at == self.now
            if self.log:
                assert transition.from_state is self.log[-1].to_state
                assert transition.generation > self.log[-1].generation
            self.log.append(transition)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0, 15.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(factor=st.sampled_from([0.9, 1.0, 1.1]))
    def draw_jitter(self, factor: float) -> None:
        self.core.jitter = factor

    @rule(target=permits)
    def admit(self):
        model, now = self.model, self.now
        permit, transition = self.core.admit(now)
        if model.mode is BreakerMode.ISOLATED:
            assert (permit, transition) == (None, None)
            return multiple()
        if model.mode is BreakerMode.DISABLED:
            assert (permit, transition) == (UNBOUND, None)
            return permit, None
        expected = None
        if model.state is OPEN and now >= model.deadline:
            expected = HALF_OPEN
            model.move(HALF_OPEN, now)
        elif (
            model.state is HALF_OPEN and len(model.probes) >= self.config.half_open_max_calls and now >= model.deadline
        ):
            expected = OPEN
            model.open(now, grow=True, jitter=self.core.jitter, hint=0.0)
        self.took_place(transition, expected)
        admits = model.state is CLOSED
        if model.state is HALF_OPEN and len(model.probes) < self.config.half_open_max_calls:
            admits = True
            model.deadline = now + self.config.half_open_timeout
        if not admits:
            assert permit is (UNBOUND if model.mode is BreakerMode.SHADOW else None)
            return multiple() if permit is None else (permit, None)
        assert permit not in {None, UNBOUND}
        ticket = (permit, model.era)
        if model.state is HALF_OPEN:
            model.probes.append(permit)
        return ticket

    @rule(
        ticket=consumes(permits),
        outcome=st.sampled_from([SUCCESS, SUCCESS, FAILURE, FAILURE, UNEXPECTED, IGNORED]),
        elapsed=st.sampled_from([0.0, 0.0, 2.0]),
        hint=st.sampled_from([0.0, 0.0, 30.0]),
    )
    def settle(self, ticket: tuple[Permit, int | None], outcome: Outcome, elapsed: float, hint: float) -> None:
        model, now = self.model, self.now
        permit, era = ticket
        transition = self.core.settle(permit, outcome, now, elapsed, hint)
        if era != model.era:
            assert transition is None
            return
        expected = self.learn(outcome, elapsed, hint) if model.state is CLOSED else self.probed(outcome, elapsed, hint)
        self.took_place(transition, expected)

    def learn(self, outcome: Outcome, elapsed: float, hint: float) -> CircuitBreakerState | None:
        model, now = self.model, self.now
        if outcome in {IGNORED, UNEXPECTED}:
            return None
        model.streak = model.streak + 1 if outcome is FAILURE else 0
        model.ends.append((now, outcome, elapsed))
        if not model.trips(now):
            return None
        flapping = model.closed_at is not None and now - model.closed_at < self.config.backoff_reset_after
        if not flapping:
            model.wait = self.config.recovery_timeout
        model.open(now, grow=flapping, jitter=self.core.jitter, hint=hint)
        return OPEN

    def probed(self, outcome: Outcome, elapsed: float, hint: float) -> CircuitBreakerState | None:
        model, now = self.model, self.now
        model.probes.pop()
        if outcome is IGNORED:
            return None
        slow = self.config.slow_call_rate is not None and elapsed >= self.config.slow_call_duration
        if outcome is not SUCCESS or slow:
            model.streak += 1
            model.open(now, grow=True, jitter=self.core.jitter, hint=hint)
            return OPEN
        model.streak = 0
        model.ends.append((now, outcome, elapsed))
        if len(model.ends) < self.config.success_threshold:
            return None
        model.move(CLOSED, now)
        model.closed_at = now
        if not self.config.backoff_reset_after:
            model.wait = self.config.recovery_timeout
        return CLOSED

    @rule(outcome=st.sampled_from(Outcome), elapsed=st.sampled_from([0.0, 2.0]))
    def call(self, outcome: Outcome, elapsed: float) -> None:
        """Ask and settle at once."""
        ticket = self.admit()
        if isinstance(ticket, tuple):
            self.settle(ticket, outcome, elapsed, 0.0)

    @rule(failures=st.booleans(), elapsed=st.sampled_from([0.0, 0.0, 2.0]))
    def hurry(self, failures: bool, elapsed: float) -> None:
        """Go where it is interesting: through a whole trip or a whole recovery."""
        for _ in range(8):
            if self.model.mode in HOLDING:
                return
            before = self.model.state
            if before is OPEN:
                self.now = max(self.now, self.model.deadline)
            ticket = self.admit()
            if not isinstance(ticket, tuple):
                return
            self.settle(ticket, FAILURE if failures else SUCCESS, elapsed, 0.0)
            if self.model.state is not before and before is not OPEN:
                return

    @rule(healthy=st.sampled_from([0.0, 5.0, 12.0]))
    def flap(self, healthy: float) -> None:
        """Trip and recover again and again, with so many healthy seconds between."""
        for failures in (True, False, True, False, True):
            self.hurry(failures, 0.0)
            self.now += healthy

    @rule(target=permits, share=st.sampled_from([0.5, 1.0]), gap=st.sampled_from([0.0, 4.0]), spare=st.booleans())
    def lose_probes(self, share: float, gap: float, spare: bool):
        """Fill the half-open state with probes nobody settles, let their deadline come near, ask again."""
        if self.model.mode in HOLDING or self.model.state is CLOSED:
            return multiple()
        if self.model.state is OPEN:
            self.now = max(self.now, self.model.deadline)
        tickets = []
        for _ in range(self.config.half_open_max_calls + 1):
            tickets.append(self.admit())
            self.now += gap
        if spare and isinstance(tickets[0], tuple):
            self.settle(tickets.pop(0), IGNORED, 0.0, 0.0)
        self.now = max(self.now, self.now - gap + share * self.config.half_open_timeout)
        tickets += [self.admit(), self.admit()]
        return multiple(*(ticket for ticket in tickets if isinstance(ticket, tuple)))

    @rule(mode=st.sampled_from([*BreakerMode, BreakerMode.NORMAL, BreakerMode.SHADOW]))
    def switch(self, mode: BreakerMode) -> None:
        assert self.core.set_mode(mode) is self.model.mode
        self.model.mode = mode

    @rule()
    def force_open(self) -> None:
        was = self.model.state
        transition = self.core.force_open(self.now)
        if was is not OPEN:
            self.model.streak = max(self.model.streak, self.config.failure_threshold)
            self.model.open(self.now, grow=False, jitter=self.core.jitter, hint=0.0)
        self.took_place(transition, None if was is OPEN else OPEN)

    @rule()
    def force_close(self) -> None:
        was = self.model.state
        transition = self.core.force_close(self.now)
        self.model.move(CLOSED, self.now)
        self.model.streak, self.model.wait, self.model.closed_at = 0, self.config.recovery_timeout, None
        self.took_place(transition, None if was is CLOSED else CLOSED)

    @invariant()
    def agrees_with_the_model(self) -> None:
        if not hasattr(self, "core"):
            return
        core, model, now = self.core, self.model, self.now
        assert (core.state, core.mode, core.wait, core.failures) == (model.state, model.mode, model.wait, model.streak)
        if model.mode is BreakerMode.ISOLATED:
            assert core.retry_after(now) is None
            assert core.barred_until == float("inf")
            return
        if model.state is OPEN:
            assert core.retry_after(now) == max(0.0, model.deadline - now)
        if model.state is HALF_OPEN:
            assert core.retry_after(now) == max(0.0, min(5.0, model.wait, model.deadline - now))
            assert core.inflight == len(model.probes)
        asked_nothing = model.mode is BreakerMode.DISABLED or model.state is CLOSED
        assert (core.standing is not None) == asked_nothing
        barred = model.mode is BreakerMode.NORMAL and model.state is OPEN
        assert core.barred_until == (model.deadline if barred else float("-inf"))


TestCore = CoreMachine.TestCase
TestCore.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
