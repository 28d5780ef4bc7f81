"""Ready-made checks for `HealthMonitor.add`: exporters, a breaker, a program, a folder."""

from __future__ import annotations

import asyncio
import shutil
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

    It is run without a shell, and killed when the check is late.

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
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            path, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        said = output[:4096].decode("utf-8", "replace").strip().partition("\n")[0][:200]
        status = HealthStatus.HEALTHY if process.returncode == 0 else HealthStatus.UNHEALTHY
        metadata = {"path": path, "returncode": process.returncode}
        return HealthCheckResult("executable", status, said, metadata=metadata)

    return check


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
