"""Real child processes: what they write, how they end, and that none is left behind."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from support.polling import eventually
from tracefuse.tools._process import STDERR_LIMIT, Command, Exit, run, spawn


def python(source: str, **options: object) -> Command:
    return Command(argv=(sys.executable, "-c", source), **options)


def gone(pid: int) -> bool:
    """True when no process of that id is left, a zombie included."""
    return not Path(f"/proc/{pid}").exists() if Path("/proc/self").exists() else not alive(pid)


def descriptors() -> int:
    """How many files this process has open; 0 where that cannot be seen."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Output:
    """Collects output and tells when a line has come, so that no test has to sleep."""

    def __init__(self) -> None:
        self.data = b""
        self.ready = asyncio.Event()

    def __call__(self, chunk: bytes) -> None:
        self.data += chunk
        if b"\n" in self.data:
            self.ready.set()


HANG = "import sys, time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + HANG


async def test_output_exit_code_and_standard_error_come_back() -> None:
    output = Output()
    exit_ = await run(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), output, spawn=spawn
    )
    assert (output.data, exit_) == (b"out\n", Exit(3, "err\n"))


async def test_death_by_signal_is_a_negative_exit_code() -> None:
    exit_ = await run(python("import os; os.kill(os.getpid(), 9)"), Output(), spawn=spawn)
    assert exit_.code == -9


async def test_a_flood_on_standard_error_neither_stalls_the_child_nor_fills_memory() -> None:
    exit_ = await run(python("import sys; sys.stderr.write('x' * 4_000_000)"), Output(), spawn=spawn)
    assert exit_ == Exit(0, "x" * STDERR_LIMIT)


async def test_the_child_gets_the_environment_of_the_command_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMAP_ARGS", "-oN /tmp/evil")
    output = Output()
    await run(python("import os; print(sorted(os.environ))", env={"ONLY": "1"}), output, spawn=spawn)
    assert b"NMAP_ARGS" not in output.data
    assert b"ONLY" in output.data


async def test_the_child_reads_nothing_and_is_in_a_session_of_its_own() -> None:
    output = Output()
    await run(python("import os, sys; print(repr(sys.stdin.read()), os.getsid(0) == os.getpid())"), output, spawn=spawn)
    assert output.data == b"'' True\n"


async def test_a_program_that_does_not_exist_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        await run(Command(argv=("/nonexistent/nmap",)), Output(), spawn=spawn)


async def test_a_child_that_ignores_the_request_to_end_is_killed_after_the_time_limit() -> None:
    pids: list[int] = []
    with pytest.raises(TimeoutError):
        await run(python(STUBBORN, timeout=0.5), Output(), spawn=spawn, started=pids.append, grace=0.05)
    assert gone(pids[0])


async def test_cancelling_takes_the_child_and_its_own_children_along() -> None:
    output, pids = Output(), list[int]()
    source = "import os, time\nchild = os.fork()\nif child: print(child, flush=True)\ntime.sleep(600)"
    task = asyncio.create_task(run(python(source), output, spawn=spawn, started=pids.append, grace=1.0))
    await output.ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(pids[0])
    eventually(lambda: not alive(int(output.data)) or _is_zombie(int(output.data)), "the grandchild to end")


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return True


async def test_a_second_cancel_while_the_child_is_being_stopped_still_leaves_none() -> None:
    output, pids = Output(), list[int]()
    task = asyncio.create_task(run(python(STUBBORN), output, spawn=spawn, started=pids.append, grace=0.2))
    await output.ready.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(pids[0])


async def test_a_loop_that_cancels_all_tasks_at_its_end_leaves_no_child() -> None:
    output, pids = Output(), list[int]()
    task = asyncio.create_task(run(python(HANG), output, spawn=spawn, started=pids.append, grace=1.0))
    await output.ready.wait()
    task.cancel()
    await asyncio.sleep(0)
    # Now the task that stops the child exists and has not begun.
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(pids[0])


async def test_an_error_in_the_reader_of_the_output_ends_the_child() -> None:
    pids: list[int] = []

    def refuse(chunk: bytes) -> None:
        raise ValueError(f"cannot read {len(chunk)} bytes")

    with pytest.raises(ValueError, match="cannot read"):
        await run(python(HANG), refuse, spawn=spawn, started=pids.append)
    assert gone(pids[0])


async def test_no_descriptor_is_left_open() -> None:
    await run(python("print(1)"), Output(), spawn=spawn)
    before = descriptors()
    for _ in range(5):
        await run(python("print(1)"), Output(), spawn=spawn)
    assert descriptors() == before
