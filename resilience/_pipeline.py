"""The pipeline: total timeout, retry, breaker, attempt timeout, bulkhead and call, in that order."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random as random_module
import time
from collections.abc import Awaitable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from tracefuse.telemetry import error_type

from ._attempts import RetryTelemetry
from ._bulkhead import Bulkhead
from ._config import check_optional
from ._errors import CircuitBreakerOpenError, PipelineTimeoutError
from ._retry import RetryBudget, RetryRun
from ._timed import run_timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracefuse.telemetry import Instrumentation

    from ._breaker import CircuitBreaker
    from ._retry import RetryPolicy

__all__ = ["Pipeline"]

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline:
    """Protections round a call, each optional, always in the same order.

    total timeout > retry > breaker > attempt timeout > bulkhead > call

    So each try asks the breaker, a try that takes too long is a failure for the breaker, and a full
    bulkhead is none. Each try runs in a span `attempt`; what the breaker has to say lands on it.

    Args:
        name: the name in metrics, events and errors.
        timeout: seconds for everything together, waits included.
        retry: when to try again; None never does.
        breaker: asked before each try.
        attempt_timeout: seconds for one try.
        bulkhead: how many calls may run at once; more are refused with BulkheadFullError.
        instrumentation: where telemetry goes; None follows OpenTelemetry's global providers.

    >>> pipeline = Pipeline("numbers")
    >>> pipeline.call_sync(divmod, 7, 2)
    (3, 1)
    """

    __slots__ = (
        "_attempt_timeout",
        "_budget",
        "_bulkhead",
        "_clock",
        "_random",
        "_sleep",
        "_sleep_sync",
        "_telemetry",
        "_timeout",
        "breaker",
        "name",
        "retry",
    )

    def __init__(
        self,
        name: str,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        breaker: CircuitBreaker | None = None,
        attempt_timeout: float | None = None,
        bulkhead: int | None = None,
        instrumentation: Instrumentation | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        sleep_sync: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        check_optional("timeout", timeout, above=0.0, most=1e9)
        check_optional("attempt_timeout", attempt_timeout, above=0.0, most=1e9)
        self.name = name
        self.retry = retry
        self.breaker = breaker
        self._timeout = timeout
        self._attempt_timeout = attempt_timeout
        self._bulkhead = None if bulkhead is None else Bulkhead(name, bulkhead)
        limited = retry is not None and retry.budget is not None
        self._budget = RetryBudget(retry.budget or 0.0, retry.budget_refill) if retry and limited else None
        self._clock = clock
        self._sleep = sleep
        self._sleep_sync = sleep_sync
        self._random = random
        self._telemetry = RetryTelemetry(name, instrumentation)

    @overload
    async def call(self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    async def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `func` under the pipeline and await what it returns if that is awaitable.

        Raises:
            PipelineTimeoutError: a timeout passed.
            CircuitBreakerOpenError: the breaker refused the last try.
            BulkheadFullError: no place was free.
            Exception: what the last try raised.
        """
        target = functools.partial(func, *args, **kwargs)
        if self._timeout is None:
            return await self._retried(target)
        scope = asyncio.timeout(self._timeout)
        try:
            async with scope:
                return await self._retried(target)
        except TimeoutError as error:
            if scope.expired():
                raise PipelineTimeoutError(self.name, "total", self._timeout) from error
            raise

    def call_sync(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` under the pipeline in synchronous code.

        With an attempt timeout the function runs in a thread of its own; Python cannot stop it, so a
        late one is left to finish there, keeping its place in the bulkhead. The total timeout limits
        the attempt timeout and the waits.

        Raises: as `call`.
        """
        return self._retried_sync(functools.partial(func, *args, **kwargs))

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or coroutine function."""
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError("a generator cannot be tried again half-way: decorate it with the breaker alone")

        async def piped(*args: Any, **kwargs: Any) -> Any:
            return await self.call(func, *args, **kwargs)

        def piped_sync(*args: Any, **kwargs: Any) -> Any:
            return self.call_sync(func, *args, **kwargs)

        wrapper = piped if inspect.iscoroutinefunction(func) else piped_sync
        return cast("Callable[P, R]", functools.wraps(func)(wrapper))

    # synchronous and asynchronous twins; what they decide is in _Tries

    async def _retried(self, target: Callable[[], Any]) -> Any:
        tries = _Tries(self)
        while True:
            try:
                with self._telemetry.attempt(tries.number, tries.waited, tries.previous):
                    result = await self._guarded(target)
            except Exception as error:
                wait = tries.again(error)
                if wait is None:
                    raise
            else:
                tries.succeeded()
                return result
            await self._sleep(wait)

    def _retried_sync(self, target: Callable[[], R]) -> R:
        tries = _Tries(self)
        while True:
            try:
                with self._telemetry.attempt(tries.number, tries.waited, tries.previous):
                    result = self._guarded_sync(target, tries)
            except Exception as error:
                wait = tries.again(error)
                if wait is None:
                    raise
            else:
                tries.succeeded()
                return result
            self._sleep_sync(wait)

    async def _guarded(self, target: Callable[[], Any]) -> Any:
        plain = self._attempt_timeout is None and self._bulkhead is None
        inner = target if plain else functools.partial(self._limited, target)
        return await (_run(inner) if self.breaker is None else self.breaker.call(inner))

    def _guarded_sync(self, target: Callable[[], R], tries: _Tries) -> R:
        inner = functools.partial(self._limited_sync, target, tries)
        return inner() if self.breaker is None else self.breaker.call_sync(inner)

    async def _limited(self, target: Callable[[], Any]) -> Any:
        limit = self._attempt_timeout
        if limit is None:
            with self._bulkhead or nullcontext():
                return await _run(target)
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                with self._bulkhead or nullcontext():
                    return await _run(target)
        except TimeoutError as error:
            if scope.expired():
                raise PipelineTimeoutError(self.name, "attempt", limit) from error
            raise

    def _limited_sync(self, target: Callable[[], R], tries: _Tries) -> R:
        place = self._bulkhead or nullcontext()
        limit, left = self._attempt_timeout, tries.left()
        if left is not None and self._timeout is not None and (limit is None or left < limit):
            return run_timed(target, place, left, PipelineTimeoutError(self.name, "total", self._timeout))
        if limit is not None:
            return run_timed(target, place, limit, PipelineTimeoutError(self.name, "attempt", limit))
        with place:
            return target()


class _Tries:
    """Where one call of a pipeline stands: the number of its try, and whether another may follow."""

    __slots__ = ("_began", "_error", "_pipeline", "_run", "number", "previous", "waited")

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._began = pipeline._clock()
        self._run: RetryRun | None = None
        self._error: Exception | None = None
        self.number = 1
        self.waited: float | None = None
        self.previous: str | None = None

    def left(self) -> float | None:
        """Seconds left of the total timeout, None without one."""
        timeout = self._pipeline._timeout
        return None if timeout is None else max(0.0, timeout - (self._pipeline._clock() - self._began))

    def succeeded(self) -> None:
        """The try succeeded: it earns its part of a retry, and what failed before is let go."""
        self._error = None
        if self._pipeline._budget is not None:
            self._pipeline._budget.earn()

    def again(self, error: Exception) -> float | None:
        """The wait before the next try after `error`; None when there is none."""
        wait = self._wait_after(error)
        if wait is None:
            # A refusal after a failure hides what went wrong, unless it says so.
            if isinstance(error, CircuitBreakerOpenError) and error.__cause__ is None:
                error.__cause__ = self._error
            self._error = None
            return None
        self._error = error
        self.number += 1
        self.waited, self.previous = wait, error_type(error)
        self._pipeline._telemetry.scheduled(self.number, wait, error)
        return wait

    def _wait_after(self, error: Exception) -> float | None:
        pipeline = self._pipeline
        if pipeline.retry is None:
            return None
        if self._run is None:
            self._run = RetryRun(pipeline.retry, self._began, clock=pipeline._clock, random=pipeline._random)
        wait = self._run.next_wait(error)
        left = self.left()
        if wait is None or (left is not None and wait >= left):
            return None
        return wait if pipeline._budget is None or pipeline._budget.take() else None


async def _run(target: Callable[[], Any]) -> Any:
    result: object = target()
    if isinstance(result, Awaitable):
        return await cast("Awaitable[object]", result)
    return result
