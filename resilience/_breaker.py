"""`CircuitBreaker`: every form of a call, on one admission path."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random as random_module
import time
from contextvars import ContextVar
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from ._coerce import coerced_config
from ._config import BreakerConfig, BreakerOptions
from ._errors import InvalidConfigError
from ._guards import aiterate, guard, iterate
from ._known import KnownSurface
from ._permit import CallPermit
from ._shell import BreakerShell
from ._stats import CallbackListener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from tracefuse.telemetry import Instrumentation

    from ._config import ErrorPredicate, ExceptionTypes
    from ._events import Listener
    from ._stats import StateTransitionCallback

__all__ = ["CircuitBreaker"]

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("tracefuse.resilience")
_entered: ContextVar[tuple[CallPermit, ...]] = ContextVar("tracefuse_entered", default=())


class CircuitBreaker(KnownSurface):
    """Stops calling what keeps failing, and tries again carefully.

    The first nine arguments are the known ones; numbers out of their range are brought into it with a
    `ConfigAdjustedWarning`. `from_config` takes a `BreakerConfig`, which refuses instead. The options
    are the further fields of `BreakerConfig`.

    Args:
        failure_threshold: failures in a row that trip the breaker (at least 1).
        recovery_timeout: seconds it stays open before the first probe (at least 1.0).
        expected_exception: what counts as a failure: a type, several, or a predicate.
        name: the name in metrics, events, logs and errors.
        success_threshold: probes in a row that must succeed (at least 1).
        timeout_multiplier: growth of the wait after a failed probe (at least 1.0).
        max_timeout: the longest wait in seconds.
        enable_jitter: whether to spread each wait by up to 10 % either way.
        state_transition_callback: called with (from, to, name) on every change of state; plain or
            a coroutine function.
        listeners: told of every event; see `Listener`.
        instrumentation: where telemetry goes; None follows OpenTelemetry's global providers.
        measure_duration: record each call in the histogram `circuit_breaker.call.duration`.
        run_sync_in: "thread" makes `call` send plain functions to a worker thread, with their context.
        clock: monotonic seconds.
        wall_clock: seconds since the epoch, for what is shown and stored.
        random: numbers from 0 to 1, for the jitter.

    Raises:
        InvalidConfigError: an argument that is no finite number, or makes no sense otherwise.

    >>> breaker = CircuitBreaker(failure_threshold=1, name="db")
    >>> with breaker:
    ...     raise OSError("down")
    Traceback (most recent call last):
        ...
    OSError: down
    >>> breaker.state
    <CircuitBreakerState.OPEN: 1>
    """

    __slots__ = ("_run_in_thread",)

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 60.0,
        expected_exception: ExceptionTypes | ErrorPredicate = (Exception,),
        name: str = "tool",
        success_threshold: int = 1,
        timeout_multiplier: float = 1.5,
        max_timeout: float = 300.0,
        enable_jitter: bool = True,
        state_transition_callback: StateTransitionCallback | None = None,
        *,
        listeners: Iterable[Listener] = (),
        instrumentation: Instrumentation | None = None,
        measure_duration: bool = False,
        run_sync_in: Literal["caller", "thread"] = "caller",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251 - shown and stored only
        random: Callable[[], float] = random_module.random,
        **options: Unpack[BreakerOptions],
    ) -> None:
        config = coerced_config(
            failure_threshold=failure_threshold,
            recovery_timeout=recovery_timeout,
            expected_exception=expected_exception,
            success_threshold=success_threshold,
            timeout_multiplier=timeout_multiplier,
            max_timeout=max_timeout,
            enable_jitter=enable_jitter,
            **options,
        )
        callbacks = () if state_transition_callback is None else (_callback(state_transition_callback),)
        BreakerShell.__init__(
            self,
            _checked_name(name),
            config,
            listeners=(*callbacks, *_checked(listeners)),
            instrumentation=instrumentation,
            measure_duration=measure_duration,
            clock=clock,
            wall_clock=wall_clock,
            random=random,
        )
        self._run_in_thread = run_sync_in == "thread"

    @classmethod
    def from_config(
        cls,
        name: str,
        config: BreakerConfig | None = None,
        *,
        listeners: Iterable[Listener] = (),
        instrumentation: Instrumentation | None = None,
        measure_duration: bool = False,
        run_sync_in: Literal["caller", "thread"] = "caller",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251 - shown and stored only
        random: Callable[[], float] = random_module.random,
    ) -> Self:
        """A breaker with exactly these settings.

        >>> CircuitBreaker.from_config("db", BreakerConfig(recovery_timeout=0.2)).current_recovery_timeout
        0.2
        """
        breaker = cls.__new__(cls)
        BreakerShell.__init__(
            breaker,
            _checked_name(name),
            config or BreakerConfig(),
            listeners=_checked(listeners),
            instrumentation=instrumentation,
            measure_duration=measure_duration,
            clock=clock,
            wall_clock=wall_clock,
            random=random,
        )
        breaker._run_in_thread = run_sync_in == "thread"
        return breaker

    # calls

    @overload
    async def call(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    async def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `func` and await what it returns if that is awaitable.

        Its exceptions pass through unchanged. A generator it returns stays under the breaker.

        Raises:
            CircuitBreakerOpenError: refused; `func` was not called.
        """
        permit = self._core.standing or self._admit()
        next(self._tally.admissions)
        began = self._clock()
        try:
            if self._run_in_thread and not inspect.iscoroutinefunction(func):
                result = await asyncio.to_thread(func, *args, **kwargs)
            else:
                result = func(*args, **kwargs)
            kind = cast("type[object]", type(result))
            if kind is CoroutineType or hasattr(kind, "__await__"):
                result = await result
        except BaseException as error:
            # Nothing is awaited on the way out of a cancelled call.
            if self._failed(permit, began, error) and isinstance(error, Exception):
                await self._heard()
            raise
        if kind is GeneratorType or kind is AsyncGeneratorType:
            return self._iterated(permit, began, result)
        if self._succeeded(permit, began, result):
            await self._heard()
        return result

    def call_sync(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` in this thread.

        Raises:
            CircuitBreakerOpenError: refused; `func` was not called.
        """
        permit = self._core.standing or self._admit()
        next(self._tally.admissions)
        began = self._clock()
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self._failed(permit, began, error)
            raise
        kind: type[object] = type(result)
        if kind is GeneratorType or kind is AsyncGeneratorType:
            return cast("R", self._iterated(permit, began, result))
        self._succeeded(permit, began, result)
        return result

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function, coroutine function, generator or async generator function.

        >>> breaker = CircuitBreaker(name="numbers")
        >>> @breaker
        ... def double(number: int) -> int:
        ...     return 2 * number
        >>> double(21)
        42
        """
        if not callable(func):
            raise TypeError(f"a circuit breaker decorates callables, not {func!r}; to call one: breaker.call_sync(f)")
        return guard(self, func)

    def permit(self) -> CallPermit:
        """Ask now and settle later; the permit is a context manager, too, sync and async.

        Raises:
            CircuitBreakerOpenError: refused.
        """
        permit = self._core.standing or self._admit()
        next(self._tally.admissions)
        return CallPermit(self, permit, self._clock())

    def __enter__(self) -> Self:
        _entered.set((*_entered.get(), self.permit()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if (permit := self._leave()) is not None:
            permit.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if (permit := self._leave()) is not None:
            await permit.__aexit__(kind, error, trace)

    # callbacks

    def add_callback(self, callback: StateTransitionCallback) -> None:
        """Call `callback` on every change of state from now on."""
        self.add_listener(_callback(callback))

    def remove_callback(self, callback: StateTransitionCallback) -> None:
        """Stop calling `callback`. Raises ValueError when it was never added."""
        self.remove_listener(CallbackListener(callback))

    # inside

    def _leave(self) -> CallPermit | None:
        """The permit of the innermost `with` block of this breaker in this context."""
        entered = _entered.get()
        for index in range(len(entered) - 1, -1, -1):
            if entered[index].breaker is self:
                _entered.set(entered[:index] + entered[index + 1 :])
                return entered[index]
        _log.warning("circuit_breaker.left_elsewhere name=%s: the block was left in another context", self.name)
        return None

    def _iterated(self, permit: Any, began: float, result: Any) -> Any:
        held = CallPermit(self, permit, began)
        again = iterate if inspect.isgenerator(result) else aiterate
        return cast("Callable[..., Any]", again)(lambda: held, result)


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InvalidConfigError("name", name, "printable text such as 'nmap'")
    return name


def _callback(callback: StateTransitionCallback) -> CallbackListener:
    if not callable(callback):
        raise InvalidConfigError("state_transition_callback", callback, "a callable (from_state, to_state, name)")
    return CallbackListener(callback)


def _checked(listeners: Iterable[Listener]) -> tuple[Listener, ...]:
    found = tuple(listeners)
    for listener in found:
        if not callable(listener):
            raise InvalidConfigError("listeners", listener, "callables (name, event)")
    return found
