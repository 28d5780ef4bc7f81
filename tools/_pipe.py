"""One end of a pipe, read by the event loop as data comes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Pipe"]

_CHUNK: Final = 1 << 16
_MOST_LEFT: Final = 1 << 20
"""What a Linux pipe holds at most without privileges (pipe(7))."""


class Pipe:
    """Reads `fd` and hands each piece to `deliver`, at the end an empty one. Closing `fd` is its owner's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, deliver: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._fd = fd
        self._deliver = deliver
        self.open = True
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._take)

    def pause(self) -> None:
        """Read nothing for now; the writer is held up when the pipe is full."""
        if self.open:
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again."""
        if self.open:
            self._loop.add_reader(self._fd, self._take)

    def finish(self) -> None:
        """Read what is left after the writer's end, and no more than a pipe can hold; then stop."""
        left = _MOST_LEFT
        while self.open and left > 0 and (size := self._take()):
            left -= size
        self.stop()

    def stop(self) -> None:
        """Read no more."""
        if self.open:
            self.open = False
            self._loop.remove_reader(self._fd)
            self._deliver(b"")

    def _take(self) -> int:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return 0
        except OSError:
            # A terminal whose other side is closed says EIO (pty(7) of Linux).
            data = b""
        if data:
            self._deliver(data)
        else:
            self.stop()
        return len(data)
