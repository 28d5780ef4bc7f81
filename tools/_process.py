"""Running one external command: drained, bounded, stopped, always reaped.

Nothing here knows nmap or telemetry. A `Spawn` is an argument of everything that runs commands, so
tests can put a `tracefuse.tools.testing.FakeProcess` in its place; `_local` has the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["REPORT", "Child", "Chunk", "Command", "Exit", "OutputLimitError", "Spawn", "Stream", "end", "run"]

REPORT: Final = "/dev/fd/report"
"""Stands in a command's arguments for the descriptor that carries the report apart from standard output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to execute: no shell, no inherited environment.

    Where `argv` has `REPORT`, the child gets a descriptor of its own for it, named by its path, and
    standard output is free for text; on a system without /dev/fd it gets `-`, standard output, instead.

    Attributes:
        argv: the program and its arguments.
        env: the whole environment.
        cwd: the folder to start it in.
        timeout: seconds it may take at most.
        output_limit: bytes it may write at most, report and text together.
        terminal: give it a terminal of its own to be controlled by, where the system can.

    >>> Command(argv=("nmap", "--version"), timeout=10.0).argv
    ('nmap', '--version')
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str | None = None
    timeout: float | None = None
    output_limit: int | None = None
    terminal: bool = False


class Stream(Enum):
    """What a piece of output belongs to."""

    REPORT = "report"
    """What programs read: the descriptor of its own, or standard output where there is none."""
    TEXT = "text"
    """What people read: standard output beside a report."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output, as it came."""

    stream: Stream
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: its exit code, negative for a signal as in `subprocess`, and its standard error."""

    code: int
    stderr: str = ""


class OutputLimitError(Exception):
    """A command wrote more than its `output_limit` bytes and was stopped."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(limit)

    def __str__(self) -> str:
        return f"the command wrote more than {self.limit:,} bytes"


class Child(Protocol):
    """A running child process."""

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group."""
        ...

    async def read(self) -> Chunk | None:
        """The next piece of output in the order in which it came; None when there will be no more.

        After `stop` it gives what is left, without waiting.
        """
        ...

    async def wait(self) -> Exit:
        """Wait for the end, and let go of the child."""
        ...

    async def stop(self, grace: float) -> None:
        """Terminate the process group, kill it after `grace` seconds, reap, let go. Does nothing after the end."""
        ...


Spawn: TypeAlias = "Callable[[Command], Awaitable[Child]]"


async def _at_once() -> None:
    """Let the child go on writing."""


async def run(
    command: Command,
    consume: Callable[[Chunk], None],
    *,
    spawn: Spawn,
    started: Callable[[int], None] = lambda _pid: None,
    ready: Callable[[], Awaitable[None]] = _at_once,
    grace: float = 2.0,
) -> Exit:
    """Run `command`, hand every piece of its output to `consume`, and leave no process behind.

    The command's time limit counts from the start of the child; `grace` is how many seconds it may
    take to end after SIGTERM before SIGKILL. After each piece `ready` is awaited before more is read:
    who cannot follow holds the child up, not memory. Whatever ends the wait (time limit, too much
    output, cancellation, an error in `consume`), the process group is stopped and reaped before this
    returns or raises.

    Raises:
        OSError: the command could not be started.
        OutputLimitError: it wrote too much.
        TimeoutError: it did not end in time.
    """
    child = await spawn(command)
    try:
        started(child.pid)
        async with asyncio.timeout(command.timeout):
            await _drain(child, command.output_limit, consume, ready)
            return await child.wait()
    except BaseException as error:
        try:
            await _uninterrupted(partial(child.stop, grace))
        finally:
            if isinstance(error, TimeoutError | asyncio.CancelledError):
                # Whatever is wrong with the rest, what is raised is what cut the run.
                with contextlib.suppress(Exception):
                    await _take_rest(child, consume)
        raise


async def _drain(
    child: Child, limit: int | None, consume: Callable[[Chunk], None], ready: Callable[[], Awaitable[None]]
) -> None:
    size = 0
    while (chunk := await child.read()) is not None:
        size += len(chunk.data)
        if limit is not None and size > limit:
            raise OutputLimitError(limit)
        consume(chunk)
        await ready()


async def _take_rest(child: Child, consume: Callable[[Chunk], None]) -> None:
    """What a stopped child had written and nobody had read: it may hold the end of something."""
    while (chunk := await child.read()) is not None:
        consume(chunk)


async def _uninterrupted(work: Callable[[], Awaitable[None]]) -> None:
    """Finish `work` even when this task, or the one that does it, is cancelled meanwhile.

    A loop that ends cancels every task it finds, also one that has not begun yet: `work` would never
    have run, so it is done again. This task's own cancellation is raised afterwards.
    """
    cancelled: asyncio.CancelledError | None = None
    task = asyncio.ensure_future(work())
    while not task.done() or task.cancelled():
        if task.cancelled():
            task = asyncio.ensure_future(work())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


async def end(task: asyncio.Task[object]) -> None:
    """Cancel `task` and wait until it is over, whatever happens to this one meanwhile.

    What it raises is nobody's business any more: who wanted to know has awaited it.
    """
    await _uninterrupted(partial(_end, task))


async def _end(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        # Asking keeps asyncio from complaining that nobody did.
        task.exception()
