"""Bounding a synchronous call in time: it runs in a thread of its own, which is left behind when late."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["run_timed"]

R = TypeVar("R")


def run_timed(target: Callable[[], R], place: AbstractContextManager[object], limit: float, late: Exception) -> R:
    """The result of `target`, run with the caller's context; raises `late` after `limit` seconds.

    `place` is entered here and left when `target` has really ended.
    """
    future: Future[R] = Future()

    def work() -> None:
        try:
            try:
                result = target()
            finally:
                place.__exit__(None, None, None)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            future.set_exception(error)
        else:
            future.set_result(result)

    # A daemon: a call that never ends must not keep the process from ending.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(work,), daemon=True, name="tracefuse-timed")
    place.__enter__()
    try:
        thread.start()
    except BaseException:
        place.__exit__(None, None, None)
        raise
    try:
        return future.result(limit)
    except TimeoutError as error:
        if future.done():
            # It ended after all, or the TimeoutError is its own.
            return future.result()
        raise late from error
