"""Standard input line by line, for an event loop that may stop at any moment.

A blocked read of a file object cannot be cancelled, and an interpreter that ends waits for the thread
that does it: a client that keeps its end open would keep this process alive. Here a daemon thread reads
the descriptor itself, and is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LONGEST_LINE", "StdinLines"]

LONGEST_LINE: Final = 4 << 20
"""Bytes of one message; as much as the SDK takes over HTTP. What is beyond is no message any more."""
_PIECE: Final = 1 << 16
_AHEAD: Final = 64
"""Lines that are read before anyone asks for them."""


class StdinLines:
    """`async for line in StdinLines(0)`: each line as text, until the other side hangs up.

    A line that is longer than `longest` bytes comes as an empty one, which is no JSON and so no message.
    """

    def __init__(self, descriptor: int, *, longest: int = LONGEST_LINE) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._splitter = _Splitter(longest)
        threading.Thread(target=self._read, args=(descriptor,), name="tracefuse-stdin", daemon=True).start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        self._room.release()
        if line is None:
            raise StopAsyncIteration
        return line

    def _read(self, descriptor: int) -> None:
        # A descriptor that is gone is as good as its end.
        with contextlib.suppress(OSError):
            while piece := os.read(descriptor, _PIECE):
                for line in self._splitter.feed(piece):
                    self._hand_over(line)
        self._hand_over(None)

    def _hand_over(self, line: str | None) -> None:
        """Wait until there is room, so that a client that floods us waits too."""
        self._room.acquire()
        # Once the loop has ended nobody reads any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


class _Splitter:
    """Pieces to lines of bounded length."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = bytearray()
        self._too_long = False

    def feed(self, piece: bytes) -> Iterable[str]:
        first, *others = piece.split(b"\n")
        self._add(first)
        for other in others:
            yield self._line()
            self._add(other)

    def _add(self, part: bytes) -> None:
        if len(self._rest) + len(part) > self._longest:
            self._too_long = True
            self._rest.clear()
        elif not self._too_long:
            self._rest += part

    def _line(self) -> str:
        line = "" if self._too_long else self._rest.decode("utf-8", errors="replace")
        self._rest.clear()
        self._too_long = False
        return line
