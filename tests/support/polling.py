"""Waiting for another process: ask until it holds, or fail at a deadline with what was seen last."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def eventually(probe: Callable[[], T], what: str, *, deadline: float = 20.0, interval: float = 0.05) -> T:
    """The first truthy answer of `probe`; AssertionError naming `what` after `deadline` seconds.

    OSError from the probe (connection refused, reset) counts as "not yet".
    """
    end = time.monotonic() + deadline
    last: object = None
    while time.monotonic() < end:
        try:
            answer = probe()
        except OSError as error:
            last = error
        else:
            if answer:
                return answer
            last = answer
        time.sleep(interval)
    raise AssertionError(f"waited {deadline} s for {what}; last seen: {last!r}")


async def until(holds: Callable[[], object], *, deadline: float = 20.0) -> None:
    """Let other tasks of this event loop go on until `holds` is true; TimeoutError after `deadline` seconds."""
    async with asyncio.timeout(deadline):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event to wait for
            await asyncio.sleep(0)
