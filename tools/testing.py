"""For tests of code that runs tools: processes that do what they are told, without an operating system.

Put `FakeSpawn` where a `spawn` is asked for; it hands out `FakeProcess` after `FakeProcess`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ._process import Chunk, Command, Exit, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FakeProcess", "FakeSpawn"]


class FakeProcess:
    """A child that writes `chunks` and ends with `exit_code`, or hangs after the chunks when that is None.

    Plain bytes are a piece of its report. `stopped` tells whether it was asked to stop.

    >>> process = FakeProcess([b"<nmaprun>"], exit_code=None)
    >>> asyncio.run(process.read()), process.stopped
    (Chunk(stream=<Stream.REPORT: 'report'>, data=b'<nmaprun>'), False)
    """

    def __init__(
        self, chunks: Iterable[bytes | Chunk] = (), exit_code: int | None = 0, stderr: str = "", pid: int = 1
    ) -> None:
        self._chunks = iter(chunks)
        self._exit_code = exit_code
        self._stderr = stderr
        self.pid = pid
        self.stopped = False
        self.hanging = asyncio.Event()
        """Set when the process has written everything and hangs, so that a test need not sleep."""

    async def read(self) -> Chunk | None:
        """The next chunk; for a hanging process, nothing until it is cancelled."""
        chunk = next(self._chunks, None)
        if chunk is None and self._exit_code is None and not self.stopped:
            self.hanging.set()
            await asyncio.Event().wait()
        return Chunk(Stream.REPORT, chunk) if isinstance(chunk, bytes) else chunk

    async def wait(self) -> Exit:
        """The exit it was made with."""
        return Exit(0 if self._exit_code is None else self._exit_code, self._stderr)

    async def stop(self, grace: float) -> None:
        """Note that it was stopped."""
        del grace
        self.stopped = True


class FakeSpawn:
    """Hands out what it was given, one for each command; an exception is raised instead.

    `commands` holds what was asked for.

    >>> fake = FakeSpawn([FakeProcess([b"out"]), FileNotFoundError(2, "No such file")])
    >>> asyncio.run(fake(Command(argv=("nmap",)))).pid
    1
    >>> fake.commands[0].argv
    ('nmap',)
    """

    def __init__(self, outcomes: Iterable[FakeProcess | OSError]) -> None:
        self._outcomes = iter(outcomes)
        self.commands: list[Command] = []

    async def __call__(self, command: Command) -> FakeProcess:
        """Take the next outcome."""
        self.commands.append(command)
        outcome = next(self._outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome
