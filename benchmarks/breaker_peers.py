"""The libraries of the field behind one shape, for bench_breaker.py: those that are installed join in.

`pip install --group peers` brings them. Where a library only decorates, each function is decorated
once and looked up in a dictionary, which costs it some 40 ns.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PEERS", "Methods"]

NEVER = 10**6
Methods = dict[str, "Callable[..., Any]"]
"""Call methods by name: `closed` and `opened`, `closed_async` and `opened_async`, as far as there are any."""


def _fail() -> None:
    raise OSError


async def _fail_async() -> None:
    raise OSError


def _pybreaker() -> Methods:
    library = importlib.import_module("pybreaker")
    closed, opened = library.CircuitBreaker(NEVER, 3600), library.CircuitBreaker(1, 3600)
    opened.open()
    return {"closed": closed.call, "opened": opened.call}


def _circuitbreaker() -> Methods:
    # Only its decorator asks whether the circuit is open; `call` alone does not.
    library = importlib.import_module("circuitbreaker")
    methods = {
        "closed": _decorating(library.CircuitBreaker(NEVER, 3600)),
        "opened": _decorating(library.CircuitBreaker(1, 3600)),
        "closed_async": _decorating(library.CircuitBreaker(NEVER, 3600)),
        "opened_async": _decorating(library.CircuitBreaker(1, 3600)),
    }
    _open(methods)
    return methods


def _aiobreaker() -> Methods:
    library = importlib.import_module("aiobreaker")
    closed = library.CircuitBreaker(fail_max=NEVER, timeout_duration=timedelta(hours=1))
    opened = library.CircuitBreaker(fail_max=1, timeout_duration=timedelta(hours=1))
    opened.open()
    return {
        "closed": closed.call,
        "opened": opened.call,
        "closed_async": closed.call_async,
        "opened_async": opened.call_async,
    }


def _purgatory() -> Methods:
    library = importlib.import_module("purgatory")
    sync, tasks = library.SyncCircuitBreakerFactory, library.AsyncCircuitBreakerFactory
    methods = {
        "closed": _decorating(sync(default_threshold=NEVER)("closed")),
        "opened": _decorating(sync(default_threshold=1, default_ttl=3600)("opened")),
        "closed_async": _decorating(tasks(default_threshold=NEVER)("closed")),
        "opened_async": _decorating(tasks(default_threshold=1, default_ttl=3600)("opened")),
    }
    _open(methods)
    return methods


def _hyx() -> Methods:
    breaker = importlib.import_module("hyx.circuitbreaker").consecutive_breaker
    methods = {
        "closed_async": _decorating(breaker(failure_threshold=NEVER)),
        "opened_async": _decorating(breaker(failure_threshold=1, recovery_time_secs=3600)),
    }
    _open(methods)
    return methods


def _interlock() -> Methods:
    library = importlib.import_module("interlock")
    closed, opened = library.CircuitBreaker(name="closed"), library.CircuitBreaker(name="opened")
    # It trips by rate, so only this keeps it closed while every call fails; it records all the same.
    closed.metrics_only()
    opened.force_open()
    return {
        "closed": closed.call_sync,
        "opened": opened.call_sync,
        "closed_async": closed.call_async,
        "opened_async": opened.call_async,
    }


def _decorating(decorate: Callable[..., Any]) -> Callable[..., Any]:
    wrapped: dict[Any, Any] = {}

    def method(func: Callable[..., Any]) -> Any:
        if func not in wrapped:
            wrapped[func] = decorate(func)
        return wrapped[func]()

    return method


def _open(methods: Methods) -> None:
    """Let the breakers that are to be open fail once."""
    with contextlib.suppress(OSError):
        if "opened" in methods:
            methods["opened"](_fail)
    with contextlib.suppress(OSError):
        asyncio.run(methods["opened_async"](_fail_async))


def _installed() -> Iterator[tuple[str, Methods]]:
    makers = {
        "pybreaker": _pybreaker,
        "circuitbreaker": _circuitbreaker,
        "aiobreaker": _aiobreaker,
        "purgatory": _purgatory,
        "hyx": _hyx,
        "interlock-cb": _interlock,
    }
    for name, make in makers.items():
        with contextlib.suppress(ImportError):
            yield name, make()


PEERS: dict[str, Methods] = dict(_installed())
