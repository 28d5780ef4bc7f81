"""Real child processes: what they write, how they end, and that none is left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.polling import eventually
from tracefuse.tools._local import STDERR_LIMIT, spawn
from tracefuse.tools._process import REPORT, Chunk, Command, Exit, OutputLimitError, Stream, run
from tracefuse.tools._terminal import launcher


def python(source: str, *arguments: str, **options: object) -> Command:
    return Command(argv=(sys.executable, "-c", source, *arguments), **options)


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

    def __call__(self, chunk: Chunk) -> None:
        self.data += chunk.data
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

    def refuse(chunk: Chunk) -> None:
        raise ValueError(f"cannot read {len(chunk.data)} bytes")

    with pytest.raises(ValueError, match="cannot read"):
        await run(python(HANG), refuse, spawn=spawn, started=pids.append)
    assert gone(pids[0])


async def test_no_descriptor_is_left_open() -> None:
    await run(python("print(1)"), Output(), spawn=spawn)
    before = descriptors()
    for _ in range(5):
        await run(python("print(1)"), Output(), spawn=spawn)
    assert descriptors() == before


REPORTING = "import sys; open(sys.argv[1], 'w').write('<report/>'); print('text')"


async def test_a_report_comes_on_a_descriptor_of_its_own_beside_the_text() -> None:
    chunks: list[Chunk] = []
    await run(Command(argv=(sys.executable, "-c", REPORTING, REPORT)), chunks.append, spawn=spawn)
    assert sorted((chunk.stream.value, chunk.data) for chunk in chunks) == [
        ("report", b"<report/>"),
        ("text", b"text\n"),
    ]


async def test_where_descriptors_have_no_paths_the_report_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracefuse.tools._local._has_descriptor_paths", lambda: False)
    chunks: list[Chunk] = []
    await run(python("import sys; print(sys.argv[1])", REPORT), chunks.append, spawn=spawn)
    assert chunks == [Chunk(Stream.REPORT, b"-\n")]


async def test_endless_output_is_stopped_at_the_limit() -> None:
    pids: list[int] = []
    endless = python("import sys\nwhile True: sys.stdout.write('x' * 65536)", output_limit=1_000_000)
    output = Output()
    with pytest.raises(OutputLimitError, match="1,000,000"):
        await run(endless, output, spawn=spawn, started=pids.append)
    assert gone(pids[0])
    assert len(output.data) <= 1_000_000


async def test_who_cannot_follow_holds_the_child_up_and_not_memory() -> None:
    first, let_go, sizes = asyncio.Event(), asyncio.Event(), list[int]()

    async def ready() -> None:
        first.set()
        await let_go.wait()

    flood = python("import sys; sys.stdout.write('x' * 40_000_000)")
    task = asyncio.create_task(run(flood, lambda chunk: sizes.append(len(chunk.data)), spawn=spawn, ready=ready))
    await first.wait()
    before = memory()
    await asyncio.wait({task}, timeout=0.2)
    assert not task.done()
    assert memory() - before < 10_000_000
    let_go.set()
    await task
    assert sum(sizes) == 40_000_000


def memory() -> int:
    """Bytes that this process holds; 0 where that cannot be seen."""
    statm = Path("/proc/self/statm")
    return 0 if not statm.exists() else int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


terminal_needed = pytest.mark.skipif(not launcher(), reason="needs setsid of util-linux or busybox")


@terminal_needed
async def test_a_child_with_a_terminal_is_controlled_by_one_that_is_not_ours() -> None:
    source = (
        "import os; tty = os.open('/dev/tty', os.O_RDWR)\n"
        "print(os.ttyname(tty) != '', os.getsid(0) == os.getpid() == os.getpgid(0), os.tcgetpgrp(tty) == os.getpid())"
    )
    output = Output()
    await run(python(source, terminal=True), output, spawn=spawn)
    assert output.data == b"True True True\n"


@terminal_needed
async def test_a_child_that_fills_its_terminal_is_not_held_up() -> None:
    output = Output()
    source = (
        "import os; tty = os.open('/dev/tty', os.O_RDWR)\nfor _ in range(100): os.write(tty, b'x' * 4096)\nprint(1)"
    )
    await run(python(source, terminal=True, timeout=20.0), output, spawn=spawn)
    assert output.data == b"1\n"


async def test_a_child_with_a_terminal_can_be_stopped_at_any_moment() -> None:
    for turns in range(12):
        pids: list[int] = []
        task = asyncio.create_task(run(python(HANG, terminal=True), Output(), spawn=spawn, started=pids.append))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(gone(pid) for pid in pids)


async def test_without_terminals_to_be_had_the_child_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "openpty", none_left)
    output = Output()
    await run(python("import os; print(os.getsid(0) == os.getpid())", terminal=True), output, spawn=spawn)
    assert output.data == b"True\n"


async def test_without_process_descriptors_a_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, flags: int = 0) -> int:
        raise PermissionError(1, "Operation not permitted", pid, flags)

    monkeypatch.setattr(os, "pidfd_open", refused, raising=False)
    assert (await run(python("import sys; sys.exit(4)"), Output(), spawn=spawn)).code == 4
    pids: list[int] = []
    with pytest.raises(TimeoutError):
        await run(python(STUBBORN, timeout=0.5), Output(), spawn=spawn, started=pids.append, grace=0.05)
    assert gone(pids[0])


PARENT = """
import asyncio, sys
from tracefuse.tools._local import spawn
from tracefuse.tools._terminal import launcher
from tracefuse.tools._process import Command, run
asyncio.run(run(Command(argv=("/bin/sh", "-c", "sleep 600 & echo $! $$; sleep 600")), print_pids, spawn=spawn))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_parent_that_is_killed_takes_its_children_along() -> None:
    source = PARENT.replace("print_pids", "lambda chunk: print(chunk.data.decode(), flush=True)")
    root = Path(__file__).parents[2] / ".ns"
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(alive(pid) for pid in pids)
        parent.kill()
    for pid in pids:
        eventually(lambda pid=pid: not alive(pid) or _is_zombie(pid), "the child to end with its parent", deadline=5.0)


async def test_what_a_stopped_child_had_written_and_nobody_had_read_is_not_lost() -> None:
    let_go, chunks = asyncio.Event(), list[Chunk]()
    source = "import sys, time; sys.stdout.write('x' * 100_000 + 'end'); sys.stdout.flush(); time.sleep(600)"
    first = asyncio.Event()

    async def ready() -> None:
        first.set()
        await let_go.wait()

    task = asyncio.create_task(run(python(source), chunks.append, spawn=spawn, ready=ready))
    await first.wait()
    # The rest is on its way into the pipe, or in it.
    await asyncio.wait({task}, timeout=0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    data = b"".join(chunk.data for chunk in chunks)
    assert len(data) == 100_003
    assert data.endswith(b"end")


@pytest.mark.parametrize("terminal", [False, True])
async def test_no_descriptor_and_no_task_is_left_after_an_early_end(terminal: bool) -> None:
    tasks = asyncio.all_tasks()

    async def cut() -> None:
        output = Output()
        command = python(f"import sys\nopen(sys.argv[1], 'w').write('x\\n')\n{HANG}", REPORT, terminal=terminal)
        task = asyncio.create_task(run(command, output, spawn=spawn))
        await output.ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await cut()
    before = descriptors()
    for _ in range(3):
        await cut()
    assert descriptors() == before
    assert asyncio.all_tasks() == tasks


async def test_a_rest_that_cannot_be_read_does_not_hide_the_cancellation() -> None:
    first, chunks = asyncio.Event(), list[Chunk]()

    def consume(chunk: Chunk) -> None:
        if chunks:
            raise ValueError("cannot read this")
        chunks.append(chunk)

    async def ready() -> None:
        first.set()
        await asyncio.Event().wait()

    source = "import sys, time; sys.stdout.write('x' * 1_000_000); sys.stdout.flush(); time.sleep(600)"
    task = asyncio.create_task(run(python(source), consume, spawn=spawn, ready=ready))
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
