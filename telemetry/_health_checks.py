"""Ready-made checks for `HealthMonitor.add`: exporters, a breaker, a program, a folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from ._arguments import listed, of_type, require
from ._health import HealthCheckResult, HealthStatus
from ._sanitize import text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ._delivery import Delivery
    from ._setup import Telemetry

__all__ = ["breaker_check", "executable_check", "exporter_check", "writable_check"]

_FULL: Final = 0.8
_LONGEST_ANSWER: Final = 65_536
_TEXTS: Final = "a sequence of texts, for example ('--version',)"


class _State(Protocol):
    @property
    def name(self) -> str: ...


class Breaker(Protocol):
    """What is asked of a circuit breaker."""

    @property
    def state(self) -> _State:
        """CLOSED, OPEN or HALF_OPEN by name."""
        ...


def breaker_check(breaker: Breaker) -> Callable[[], HealthCheckResult]:
    """Degraded while `breaker` is not closed: what it guards is left alone."""

    require("breaker", breaker, hasattr(breaker, "state"), "a circuit breaker, with `state`")

    def check() -> HealthCheckResult:
        state = breaker.state.name
        status = HealthStatus.HEALTHY if state == "CLOSED" else HealthStatus.DEGRADED
        wait = getattr(breaker, "retry_after", None)
        again = f", next try in {wait:.1f} s" if isinstance(wait, float) and wait > 0 else ""
        return HealthCheckResult("breaker", status, f"{state}{again}", metadata={"state": state})

    return check


def exporter_check(
    telemetry: Telemetry, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[], HealthCheckResult]:
    """Degraded while an exporter fails or its queue is more than four fifths full.

    `metadata` has for each signal where it goes, how many items were not confirmed so far and how many of
    these still wait, and the seconds since the last success.

    >>> from tracefuse.telemetry.testing import InMemoryTelemetry
    >>> with InMemoryTelemetry() as memory:
    ...     exporter_check(memory.telemetry)().message
    'nothing is exported'
    """
    sizes = {"spans": telemetry.config.span_batch.queue, "log records": telemetry.config.log_batch.queue}

    def check() -> HealthCheckResult:
        deliveries = telemetry._providers.deliveries
        if not deliveries:
            return HealthCheckResult("exporters", HealthStatus.HEALTHY, "nothing is exported")
        troubles = [trouble for one in deliveries if (trouble := _trouble(one, sizes.get(one.what)))]
        status = HealthStatus.DEGRADED if troubles else HealthStatus.HEALTHY
        metadata = {one.what: _account(one, clock()) for one in deliveries}
        return HealthCheckResult("exporters", status, "; ".join(troubles), metadata=metadata)

    return check


def _trouble(delivery: Delivery, queue: int | None) -> str:
    if delivery.reason is not None:
        return f"{delivery.what} are not delivered to {delivery.address} ({delivery.reason})"
    waiting = delivery.waiting
    return f"{waiting} {delivery.what} wait in a queue of {queue}" if queue and waiting > queue * _FULL else ""


def _account(delivery: Delivery, now: float) -> dict[str, Any]:
    last = delivery.last_success
    return {
        "address": delivery.address,
        "unconfirmed": delivery.lost,
        "waiting": delivery.waiting,
        "reason": delivery.reason,
        "seconds_since_success": None if last is None else round(now - last, 3),
    }


def executable_check(
    program: str, arguments: Sequence[str] = ("--version",)
) -> Callable[[], Awaitable[HealthCheckResult]]:
    """Unhealthy unless `program` is found and answers `arguments` with success; the message is its first line.

    It is run without a shell, and killed with all it started when the check is late or it writes without end.

    >>> import sys
    >>> asyncio.run(executable_check(sys.executable)()).message.split()[0]
    'Python'
    """

    of_type("program", program, str | Path, "a program's name or path, for example 'nmap'")
    listed("arguments", arguments, list | tuple, _TEXTS)
    for one in arguments:
        of_type("one of the arguments", one, str, _TEXTS)
        require("one of the arguments", one, "\0" not in one, _TEXTS)

    async def check() -> HealthCheckResult:
        path = shutil.which(program)
        if path is None:
            return HealthCheckResult("executable", HealthStatus.UNHEALTHY, f"{program} is not installed")
        process = await asyncio.create_subprocess_exec(
            path,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output = await _beginning(process.stdout)
            if len(output) <= _LONGEST_ANSWER:
                await process.wait()
        finally:
            await _gone(process)
        if len(output) > _LONGEST_ANSWER:
            return HealthCheckResult("executable", HealthStatus.UNHEALTHY, f"{program} writes without end")
        said = output[:4096].decode("utf-8", "replace").strip().partition("\n")[0][:200]
        status = HealthStatus.HEALTHY if process.returncode == 0 else HealthStatus.UNHEALTHY
        metadata = {"path": path, "returncode": process.returncode}
        return HealthCheckResult("executable", status, said, metadata=metadata)

    return check


async def _beginning(stream: asyncio.StreamReader | None) -> bytes:
    """What is written there, up to a little more than an answer may have."""
    output = bytearray()
    while stream is not None and len(output) <= _LONGEST_ANSWER and (chunk := await stream.read(_LONGEST_ANSWER + 1)):
        output += chunk
    return bytes(output)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of it, its children too, and wait for its end; it may have ended this moment."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # Reads what is still in the pipe, for the end of a process is told only after that of its pipes.
        await process.communicate()


def writable_check(folder: str | Path) -> Callable[[], HealthCheckResult]:
    """Unhealthy unless a file can be made and written in `folder`; what was made is removed.

    >>> writable_check(tempfile.gettempdir())().status.value
    'healthy'
    """
    # tempfile takes a number for an open file, and closes it.
    of_type("folder", folder, str | Path, "a path, for example '/var/lib/tracefuse'")

    def check() -> HealthCheckResult:
        try:
            with tempfile.TemporaryFile(dir=folder, prefix=".tracefuse-health-") as file:
                file.write(b"ok")
                file.flush()
            free = shutil.disk_usage(folder).free
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            return HealthCheckResult("store", HealthStatus.UNHEALTHY, text_of(f"{folder}: {reason}", 256))
        return HealthCheckResult("store", HealthStatus.HEALTHY, metadata={"free_bytes": free})

    return check
