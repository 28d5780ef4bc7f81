"""Child processes of this machine: own session, clean descriptors, gone when this process is gone.

Why not `asyncio.create_subprocess_exec`: it knows no third pipe, on Python 3.11 it starts a thread for
each child, and it reaps before anyone can clear away what the child had started. Here the loop watches
the pipes and a process descriptor (pidfd_open(2)), and the group is cleared while its id is still ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from . import _lifeline as lifeline
from ._pipe import Pipe
from ._process import REPORT, Chunk, Exit, Stream
from ._terminal import launcher, open_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._process import Child, Command

__all__ = ["STDERR_LIMIT", "spawn"]

_AHEAD: Final = 16
"""Pieces of output that are read before anyone asks for them."""
STDERR_LIMIT: Final = 1 << 16
"""Bytes of standard error that are kept; the rest is read and dropped, so the child never blocks."""


class _Ends(NamedTuple):
    """A pipe or terminal between us and a child."""

    ours: int
    theirs: int


async def spawn(command: Command) -> Child:
    """Start `command` for real: in a session of its own, with nothing to read and every output piped.

    On Linux the child is killed when this process dies, however it dies.

    Raises:
        OSError: it could not be started.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:

        def own(ends: tuple[int, int]) -> _Ends:
            ours.callback(os.close, ends[0])
            theirs.callback(os.close, ends[1])
            return _Ends(*ends)

        output, errors = own(os.pipe()), own(os.pipe())
        report = own(os.pipe()) if REPORT in command.argv and _has_descriptor_paths() else None
        line = own(lifeline.pipe()) if lifeline.SUPPORTED else None
        pair = open_terminal() if command.terminal else None
        terminal = None if pair is None else own(pair)
        process = _start(command, _Plumbing(output, errors, report, line, terminal))
        if line is not None:
            lifeline.tie(line.theirs, process.pid)
        inputs = (
            {output.ours: Stream.REPORT} if report is None else {output.ours: Stream.TEXT, report.ours: Stream.REPORT}
        )
        return _LocalChild(process, inputs, errors.ours, terminal and terminal.ours, ours.pop_all())


class _Plumbing(NamedTuple):
    """All there is between us and a child."""

    output: _Ends
    errors: _Ends
    report: _Ends | None
    line: _Ends | None
    terminal: _Ends | None


def _start(command: Command, ends: _Plumbing) -> subprocess.Popen[bytes]:
    path = "-" if ends.report is None else f"/dev/fd/{ends.report.theirs}"
    argv = [path if word == REPORT else word for word in command.argv]
    if ends.terminal is not None:
        argv[:0] = launcher()
    return subprocess.Popen(  # noqa: S603 - no shell, and what it runs was planned
        argv,
        stdin=subprocess.DEVNULL if ends.terminal is None else ends.terminal.theirs,
        stdout=ends.output.theirs,
        stderr=ends.errors.theirs,
        env=dict(command.env),
        cwd=command.cwd,
        pass_fds=[pair.theirs for pair in (ends.report, ends.line) if pair is not None],
        # With a terminal it is the launcher that makes the session; it cannot from within one of its own.
        start_new_session=ends.terminal is None,
    )


@cache
def _has_descriptor_paths() -> bool:
    return Path("/dev/fd").is_dir()


class _LocalChild:
    """A child of this process. Its standard error is read at all times, its output as far as someone follows."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        outputs: dict[int, Stream],
        errors: int,
        terminal: int | None,
        held: contextlib.ExitStack,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._process = process
        self._held = held
        self._chunks: deque[Chunk] = deque()
        self._errors = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._paused = False
        self._outputs = [Pipe(loop, end, partial(self._put, stream)) for end, stream in outputs.items()]
        self._others = [Pipe(loop, errors, self._put_error)]
        if terminal is not None:
            # Nobody reads it, and a child that writes to its terminal must not stall.
            self._others.append(Pipe(loop, terminal, _drop))
        self._code: asyncio.Future[int] = loop.create_future()
        _when_ended(loop, process, held, self._ended)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def read(self) -> Chunk | None:
        while not self._chunks:
            if not any(pipe.open for pipe in self._outputs):
                return None
            self._waiting = self._loop.create_future()
            await self._waiting
        chunk = self._chunks.popleft()
        if self._paused and len(self._chunks) < _AHEAD:
            self._paused = False
            for pipe in self._outputs:
                pipe.resume()
        return chunk

    async def wait(self) -> Exit:
        code = await asyncio.shield(self._code)
        self._let_go()
        return Exit(code, self._errors.decode("utf-8", "replace"))

    async def stop(self, grace: float) -> None:
        if not self._code.done():
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait((self._code,), timeout=grace)
            finally:
                self._signal(signal.SIGKILL)
            await asyncio.shield(self._code)
        self._let_go()

    def _put(self, stream: Stream, data: bytes) -> None:
        if data:
            self._chunks.append(Chunk(stream, data))
        if len(self._chunks) >= _AHEAD and not self._paused:
            self._paused = True
            for pipe in self._outputs:
                pipe.pause()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _put_error(self, data: bytes) -> None:
        self._errors += data[: STDERR_LIMIT - len(self._errors)]

    def _ended(self) -> None:
        """The child has ended and is not reaped yet, so that its group's id cannot be anyone else's."""
        if self._code.done():
            return
        # What it had started must not survive it, nor hold its pipes open.
        _signal_group(self._process.pid, signal.SIGKILL)
        self._code.set_result(self._process.wait())
        for pipe in (*self._outputs, *self._others):
            pipe.finish()

    def _signal(self, number: signal.Signals) -> None:
        if self._code.done():
            return
        if not _signal_group(self._process.pid, number):
            # Its launcher has not come to make the group yet.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, number)

    def _let_go(self) -> None:
        for pipe in (*self._outputs, *self._others):
            pipe.stop()
        self._held.close()


def _signal_group(group: int, number: signal.Signals) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _when_ended(
    loop: asyncio.AbstractEventLoop,
    process: subprocess.Popen[bytes],
    held: contextlib.ExitStack,
    ended: Callable[[], None],
) -> None:
    """Call `ended` in the loop when the process has ended; by a thread where there are no process descriptors."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        threading.Thread(target=_wait, args=(loop, process, ended), daemon=True).start()
        return
    held.callback(os.close, descriptor)
    held.callback(loop.remove_reader, descriptor)
    loop.add_reader(descriptor, _once, loop, descriptor, ended)


def _once(loop: asyncio.AbstractEventLoop, descriptor: int, ended: Callable[[], None]) -> None:
    loop.remove_reader(descriptor)
    ended()


def _wait(loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], ended: Callable[[], None]) -> None:
    process.wait()
    # The loop may have been closed meanwhile, without waiting for its children.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(ended)


def _drop(data: bytes) -> None:
    del data
