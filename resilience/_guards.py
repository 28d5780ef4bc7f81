"""Decorators: one breaker round functions, coroutine functions, generators and async generators.

A generator asks when its first item is asked for, and has succeeded when it is exhausted. One that
is closed early says nothing. Errors count wherever in the iteration they are raised.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from ._breaker import CircuitBreaker
    from ._permit import CallPermit

__all__ = ["aiterate", "guard", "iterate"]

P = ParamSpec("P")
R = TypeVar("R")


def guard(breaker: CircuitBreaker, func: Callable[P, R]) -> Callable[P, R]:
    """`func` behind `breaker`, with the kind, name and signature it had."""
    if inspect.isasyncgenfunction(func):
        wrapper = _async_generator(breaker, func)
    elif inspect.isgeneratorfunction(func):
        wrapper = _generator(breaker, func)
    elif inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None)):  # noqa: B004
        wrapper = _coroutine(breaker, func)
    else:
        wrapper = _function(breaker, func)
    return cast("Callable[P, R]", functools.wraps(func)(wrapper))


def _function(breaker: CircuitBreaker, func: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return breaker.call_sync(func, *args, **kwargs)

    return guarded


def _coroutine(breaker: CircuitBreaker, func: Callable[..., Any]) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        return await breaker.call(func, *args, **kwargs)

    return guarded


def _generator(breaker: CircuitBreaker, func: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return iterate(breaker.permit, func(*args, **kwargs))

    return guarded


def _async_generator(breaker: CircuitBreaker, func: Callable[..., AsyncGenerator[Any, Any]]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        return aiterate(breaker.permit, func(*args, **kwargs))

    return guarded


def iterate(ask: Callable[[], CallPermit], generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """`generator` under the permit that `ask` gives at its first step."""
    with ask():
        return (yield from generator)


async def aiterate(ask: Callable[[], CallPermit], generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """`generator` under the permit that `ask` gives at its first step; passes on what is sent and thrown."""
    async with ask():
        try:
            item = await anext(generator)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - what the consumer throws belongs to the generator
                    item = await generator.athrow(error)
                else:
                    item = await generator.asend(sent)
        except StopAsyncIteration:
            return
        finally:
            await generator.aclose()
