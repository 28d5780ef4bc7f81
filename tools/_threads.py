"""Blocking work beside an event loop, finished once it was begun."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

__all__ = ["beside", "in_thread"]

_T = TypeVar("_T")


async def in_thread(work: Callable[[], _T]) -> _T:
    """Do `work` in a thread, in the context of the caller, and return what it returns.

    A cancellation meanwhile is raised when the work is done, not before: what comes after knows that
    nothing is still being written.

    >>> asyncio.run(in_thread(lambda: 6 * 7))
    42
    """
    future = asyncio.get_running_loop().run_in_executor(None, copy_context().run, work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:  # noqa: BLE001 - it is raised below
            break
    if cancelled is not None:
        future.exception()
        raise cancelled
    return future.result()


async def beside(executor: Executor | None, work: Callable[[], _T]) -> _T:
    """Do `work` in a thread of `executor`, by default the loop's own, in the context of the caller.

    A cancellation is raised at once; what is done by then goes on, and nobody hears of it.

    >>> asyncio.run(beside(None, lambda: 6 * 7))
    42
    """
    return await asyncio.get_running_loop().run_in_executor(executor, copy_context().run, work)
