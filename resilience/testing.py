"""Helpers for testing code that uses this package, without sleeping."""

from __future__ import annotations

import contextlib
import random as random_module
import threading
from typing import TYPE_CHECKING, Any

from ._core import BreakerCore
from ._events import CircuitBreakerState, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ._breaker import CircuitBreaker
    from ._events import BreakerEvent

__all__ = ["FakeClock", "InjectedFailureError", "Recorder", "force_state", "inject_failure"]


class FakeClock:
    """A clock that moves only when told to; call it, or wait on it in place of sleeping.

    >>> clock = FakeClock()
    >>> clock.advance(2.5)
    >>> clock.sleep_sync(1)
    >>> clock()
    3.5
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Tell the time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward. Raises ValueError for a step back: monotonic clocks have none."""
        if not seconds >= 0:
            raise ValueError(f"a monotonic clock cannot move by {seconds!r} seconds; give a number from 0 up")
        with self._lock:
            self._now += seconds

    async def sleep(self, seconds: float) -> None:
        """Move forward at once, for what is given `asyncio.sleep` otherwise."""
        self.advance(seconds)

    def sleep_sync(self, seconds: float) -> None:
        """Move forward at once, for what is given `time.sleep` otherwise."""
        self.advance(seconds)


class Recorder:
    """A listener that keeps what it hears.

    >>> from tracefuse.resilience import CircuitBreaker
    >>> recorder = Recorder()
    >>> breaker = CircuitBreaker(name="db", listeners=[recorder])
    >>> _ = breaker.force_open_nowait()
    >>> recorder.moves
    [('CLOSED', 'OPEN')]
    """

    def __init__(self) -> None:
        self.events: list[BreakerEvent] = []

    def __call__(self, name: str, event: BreakerEvent, /) -> None:
        """Keep the event."""
        self.events.append(event)

    @property
    def transitions(self) -> list[Transition]:
        """The changes of state, oldest first."""
        return [event for event in self.events if isinstance(event, Transition)]

    @property
    def moves(self) -> list[tuple[str, str]]:
        """The changes of state as pairs of names."""
        return [(event.from_state.name, event.to_state.name) for event in self.transitions]


class InjectedFailureError(Exception):
    """What `inject_failure` raises when it is given no other error."""


def force_state(breaker: CircuitBreaker, state: CircuitBreakerState) -> None:
    """Bring `breaker` to `state` by moves that listeners see like any other.

    >>> from tracefuse.resilience import CircuitBreaker
    >>> breaker = CircuitBreaker(name="db")
    >>> force_state(breaker, CircuitBreakerState.HALF_OPEN)
    >>> breaker.state.name
    'HALF_OPEN'
    """
    if state is CircuitBreakerState.CLOSED:
        breaker._force(BreakerCore.force_close)
        return
    if state is CircuitBreakerState.OPEN or breaker.state is CircuitBreakerState.CLOSED:
        breaker._force(BreakerCore.force_open)
    if state is CircuitBreakerState.HALF_OPEN:
        breaker._force(BreakerCore.force_half_open)


@contextlib.contextmanager
def inject_failure(
    breaker: CircuitBreaker,
    *,
    count: int | None = None,
    rate: float | None = None,
    when: Callable[[Callable[..., Any]], bool] | None = None,
    error: Callable[[], BaseException] = InjectedFailureError,
    random: Callable[[], float] = random_module.random,
) -> Generator[None]:
    """Make calls through `breaker` fail in place of calling the function, inside the `with` block.

    Give one of `count` (the next so many calls), `rate` (that share of them) or `when` (a predicate
    over the function); with none, every call fails. `error` makes the exception. Works for `call`,
    `call_sync` and decorated functions; a permit or a `with` block has no function to replace.

    >>> from tracefuse.resilience import CircuitBreaker
    >>> breaker = CircuitBreaker(name="db", failure_threshold=2)
    >>> with inject_failure(breaker, count=1):
    ...     breaker.call_sync(print, "never")
    Traceback (most recent call last):
        ...
    tracefuse.resilience.testing.InjectedFailureError
    """
    if sum(given is not None for given in (count, rate, when)) > 1:
        raise ValueError("give one of count, rate and when")
    left = count
    lock = threading.Lock()

    def strikes(func: Callable[..., Any]) -> bool:
        nonlocal left
        if when is not None:
            return when(func)
        if rate is not None:
            return random() < rate
        if left is None:
            return True
        with lock:
            left -= 1
            return left >= 0

    original = type(breaker)
    breaker.__class__ = _faulty(original, strikes, error)
    try:
        yield
    finally:
        breaker.__class__ = original


def _faulty(
    kind: type[CircuitBreaker], strikes: Callable[[Callable[..., Any]], bool], error: Callable[[], BaseException]
) -> type[CircuitBreaker]:
    """The class of breakers that put a failing function in the place of the given one."""

    def chosen(func: Callable[..., Any]) -> Callable[..., Any]:
        def fail(*_args: object, **_kwargs: object) -> None:
            raise error()

        return fail if strikes(func) else func

    class Faulty(kind):  # type: ignore[misc, valid-type]
        __slots__ = ()

        async def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return await super().call(chosen(func), *args, **kwargs)

        def call_sync(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return super().call_sync(chosen(func), *args, **kwargs)

    return Faulty
