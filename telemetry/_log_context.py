"""What log lines are about: fields that go with the current task or thread. Nothing global but contextvars."""

from __future__ import annotations

import contextvars
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from ._sanitize import text_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Generator, Mapping

__all__ = ["LOG_CONTEXT", "context_fields", "current_log_context", "in_context", "log_context"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
LOG_CONTEXT: Final = "tracefuse_context"
"""The attribute of a log record that keeps what was current when it was made."""

_MAX_FIELDS: Final = 16
_MAX_LENGTH: Final = 256
_fields: Final[contextvars.ContextVar[Mapping[str, str]]] = contextvars.ContextVar("tracefuse_log", default=_EMPTY)


@contextmanager
def log_context(**fields: object) -> Generator[Mapping[str, str]]:
    """Add `fields` to every log line of the block: tool, scan_id, correlation_id, breaker, whatever helps.

    Tasks made inside inherit them, as does `asyncio.to_thread`; for other threads see `in_context`. An
    inner block adds to the outer one; None takes a field away. At most 16 fields of 256 characters.

    >>> with log_context(tool="nmap", scan_id="42"), log_context(scan_id=None, breaker="nmap"):
    ...     dict(current_log_context())
    {'tool': 'nmap', 'breaker': 'nmap'}
    >>> dict(current_log_context())
    {}
    """
    merged = {**_fields.get(), **fields}
    kept = {key: text_of(value, _MAX_LENGTH) for key, value in merged.items() if value is not None}
    bounded = MappingProxyType(dict(list(kept.items())[-_MAX_FIELDS:]))
    token = _fields.set(bounded)
    try:
        yield bounded
    finally:
        _fields.reset(token)


def current_log_context() -> Mapping[str, str]:
    """The fields that a log line would carry now; read-only."""
    return _fields.get()


def context_fields(record: logging.LogRecord) -> Mapping[str, str]:
    """The fields that were current when `record` was made, as far as a filter noted them, else those of now."""
    noted: Mapping[str, str] = getattr(record, LOG_CONTEXT, None) or _fields.get()
    return noted


def in_context(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """`function`, to be run elsewhere, with the log fields and the current span of here.

    `loop.run_in_executor` and `threading.Thread` start with an empty context; this brings it along.

    >>> import threading
    >>> with log_context(tool="nmap"):
    ...     thread = threading.Thread(target=in_context(lambda: print(dict(current_log_context()))))
    >>> thread.start(); thread.join()
    {'tool': 'nmap'}
    """
    context = contextvars.copy_context()

    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        # A context runs in one thread at a time, so every call has a copy.
        return context.copy().run(function, *args, **kwargs)

    return run
