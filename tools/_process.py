"""Running one external command: spawned in its own session, drained, stopped, always reaped.

Nothing here knows nmap or telemetry. A `Spawn` is an argument of everything that runs commands, so
tests can put a `tracefuse.tools.testing.FakeProcess` in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Child", "Command", "Exit", "Spawn", "run", "spawn"]

_CHUNK = 1 << 16
STDERR_LIMIT = 1 << 16
"""Bytes of standard error that are kept; the rest is read and dropped, so the child never blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to execute, and for how many seconds at most: no shell, no inherited environment.

    >>> Command(argv=("nmap", "--version"), timeout=10.0).argv
    ('nmap', '--version')
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: its exit code, negative for a signal as in `subprocess`, and its standard error."""

    code: int
    stderr: str = ""


class Child(Protocol):
    """A running child process."""

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group."""
        ...

    async def read(self) -> bytes:
        """The next piece of standard output, empty when the child has closed it."""
        ...

    async def wait(self) -> Exit:
        """Wait for the end."""
        ...

    async def stop(self, grace: float) -> None:
        """Terminate the process group, kill it after `grace` seconds, reap. Does nothing after the end."""
        ...


Spawn: TypeAlias = "Callable[[Command], Awaitable[Child]]"


async def run(
    command: Command,
    consume: Callable[[bytes], None],
    *,
    spawn: Spawn,
    started: Callable[[int], None] = lambda _pid: None,
    grace: float = 2.0,
) -> Exit:
    """Run `command`, hand every chunk of its output to `consume`, and leave no process behind.

    The command's time limit counts from the start of the child; `grace` is how many seconds it may
    take to end after SIGTERM before SIGKILL. Whatever ends the wait (time limit, cancellation, an error
    in `consume`), the process group is stopped and reaped before this returns or raises.

    Raises:
        OSError: the command could not be started.
        TimeoutError: it did not end in time.
    """
    child = await spawn(command)
    try:
        started(child.pid)
        async with asyncio.timeout(command.timeout):
            while chunk := await child.read():
                consume(chunk)
            return await child.wait()
    finally:
        await _uninterrupted(partial(child.stop, grace))


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


async def spawn(command: Command) -> Child:
    """Start `command` for real: own session, standard input closed, both outputs piped."""
    process = await asyncio.create_subprocess_exec(
        *command.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(command.env),
        cwd=command.cwd,
        start_new_session=True,
    )
    return _LocalChild(process)


class _LocalChild:
    """A child of this process. Standard error is drained from the start, so a full pipe never stalls it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._stderr = asyncio.create_task(_read_capped(process.stderr))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def read(self) -> bytes:
        stdout = self._process.stdout
        return b"" if stdout is None else await stdout.read(_CHUNK)

    async def wait(self) -> Exit:
        code = await self._process.wait()
        return Exit(code, await self._stderr)

    async def stop(self, grace: float) -> None:
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), grace)
            finally:
                # The whole group, also when the child obeyed: what it had started must not survive it.
                self._signal(signal.SIGKILL)
            await self._process.wait()
        self._stderr.cancel()
        await asyncio.wait([self._stderr])
        _close(self._process)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _close(process: asyncio.subprocess.Process) -> None:
    """Close the pipes now: a helper process that keeps them open would hold our descriptors for ever."""
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


async def _read_capped(stream: asyncio.StreamReader | None) -> str:
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        kept += chunk[: STDERR_LIMIT - len(kept)]
    return kept.decode("utf-8", "replace")
