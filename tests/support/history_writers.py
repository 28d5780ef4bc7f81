"""What processes do to a history in tests: functions that `multiprocessing` can start in a process of their own."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import resource
import select
import signal
import sqlite3
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tracefuse.tools._tool import Caller
from tracefuse.tools.history._history import History, HistoryError, Query, ScanEnd, ScanStart, ScanState

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext

__all__ = [
    "document_of",
    "integrity",
    "kill_writers",
    "open_together",
    "opened",
    "processes",
    "write_in_parent_and_child",
    "write_some",
    "write_until_full",
    "write_where_forbidden",
]

_NOBODY = 65_534


def processes() -> ForkServerContext:
    """Processes that are started quickly, because one that has imported everything forks them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.history_writers"])
    return context


def opened(path: Path, max_bytes: int = 500_000_000) -> History:
    return History.open(path, max_age=86_400.0, max_bytes=max_bytes)


def document_of(scan_id: str) -> dict[str, Any]:
    """A result that only this scan has, of some pages of the file."""
    return {"report": {"scan": scan_id, "noise": Random(scan_id).randbytes(6_000).hex()}}


def _write(history: History, scan_id: str) -> None:
    caller = Caller()
    targets = ("10.0.0.0/24", "10.0.1.7")
    history.begin(
        ScanStart(scan_id=scan_id, request={}, caller=caller, begun=datetime.now(UTC), signature="s", targets=targets)
    )
    history.finish(scan_id, ScanEnd(state=ScanState.COMPLETED, document=document_of(scan_id)))


def kill_writers(path: Path, delays: list[float], max_bytes: int, answer: Connection) -> None:
    """Kill a writer after each delay (seconds, from its first scan on), and look at the file; answer with both.

    The writers are forked here, where everything is imported and no thread runs, so that each is quick.
    """
    acknowledged: list[list[str]] = []
    verdicts: set[str] = set()
    try:
        for number, delay in enumerate(delays):
            acknowledged.append(_killed(path, f"k{number}", delay, max_bytes))
            verdicts.add(integrity(path))
        answer.send((acknowledged, verdicts))
    except Exception:
        answer.send(([], {traceback.format_exc()}))
        raise


def _killed(path: Path, name: str, delay: float, max_bytes: int) -> list[str]:
    """Names of the scans that a writer acknowledged before it was killed."""
    readable, writable = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(readable)
        with contextlib.suppress(Exception):
            _write_for_ever(path, name, max_bytes, writable)
        os._exit(1)
    os.close(writable)
    told = b""
    try:
        ready, _, _ = select.select([readable], [], [], 20)
        time.sleep(delay if ready else 0.0)
    finally:
        os.kill(writer, signal.SIGKILL)
    while piece := os.read(readable, 1 << 16):
        told += piece
    os.close(readable)
    _, status = os.waitpid(writer, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise ChildProcessError(f"the writer {name} ended by itself")
    return told.decode().split()


def _write_for_ever(path: Path, name: str, max_bytes: int, acknowledge: int) -> None:
    """Write scan after scan, and tell of each once the history has said that it is kept."""
    history = opened(path, max_bytes)
    for number in itertools.count():
        _write(history, f"{name}-{number}")
        os.write(acknowledge, f"{name}-{number}\n".encode())


def integrity(path: Path) -> str:
    """What SQLite says of the file: "ok", or what is wrong with it."""
    connection = sqlite3.connect(path)
    try:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        return str(verdict)
    finally:
        connection.close()


def open_together(folder: Path, rounds: int, answer: Connection) -> None:
    """Let six processes make the same history at the same moment, again and again; answer with how they ended."""
    ends: set[int] = set()
    for number in range(rounds):
        waiting, gate = os.pipe()
        children = [_opening(folder / f"h{number}.sqlite3", str(child), waiting, gate) for child in range(6)]
        os.close(waiting)
        os.close(gate)
        ends |= {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    answer.send(ends)


def _opening(path: Path, name: str, waiting: int, gate: int) -> int:
    """A process that opens the history when the gate is closed everywhere."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.close(gate)
        os.read(waiting, 1)
        history = opened(path)
        _write(history, name)
        history.close()
        code = 0
    finally:
        os._exit(code)


def write_some(path: Path, name: str, count: int, start: Any) -> None:
    """Write `count` scans as fast as possible, together with others."""
    start.wait(20)
    history = opened(path)
    for number in range(count):
        _write(history, f"{name}-{number}")
    history.close()


def write_in_parent_and_child(path: Path, answer: Connection) -> None:
    """Fork while the history is open and in use, and go on with it on both sides."""
    history = opened(path)
    _write(history, "before")
    child = os.fork()
    if child == 0:
        with contextlib.suppress(Exception):
            for number in range(10):
                _write(history, f"child-{number}")
            history.close()
            os._exit(0)
        os._exit(1)
    for number in range(10):
        _write(history, f"parent-{number}")
    _, status = os.waitpid(child, 0)
    history.close()
    answer.send(os.waitstatus_to_exitcode(status))


def write_until_full(path: Path, file_limit: int | None, answer: Connection) -> None:
    """Write until it fails; then make room, write one more, and answer with all that happened."""
    try:
        answer.send(_filled(path, file_limit))
    except Exception:
        answer.send({"crashed": traceback.format_exc()})
        raise


def _filled(path: Path, file_limit: int | None) -> dict[str, Any]:
    ballast = path.parent / "ballast"
    ballast.write_bytes(bytes(400_000))
    history = opened(path)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
    kept: list[str] = []
    error: HistoryError | None = None
    while error is None and len(kept) < 2_000:
        try:
            _write(history, f"s{len(kept)}")
            kept.append(f"s{len(kept)}")
        except HistoryError as failure:
            error = failure
    ballast.unlink()
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    _write(history, "afterwards")
    intact = all(history.document(scan_id) == document_of(scan_id) for scan_id in (*kept, "afterwards"))
    history.close()
    return {"kept": len(kept), "error": str(error), "reason": error and error.reason, "intact": intact}


def write_where_forbidden(path: Path, answer: Connection) -> None:
    """Open and use a history as a user who may not write there."""
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        history = opened(path)
        history.find(Query())
        _write(history, "forbidden")
        answer.send("written")
    except HistoryError as error:
        answer.send(str(error))
    except Exception:
        answer.send(traceback.format_exc())
        raise
