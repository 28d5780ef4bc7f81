"""The end: everything is flushed and shut down at once, under one deadline, and what was lost is told.

The SDK's own way is one provider after the other, each for up to 30 s and without a time limit on
spans (opentelemetry-python issues 4043, 4555, 4568, 4623), and then it does not say what was lost.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._delivery import Delivery

__all__ = ["ShutdownReport", "shut_down"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShutdownReport:
    """What the shutdown of telemetry did. `elapsed` is in seconds.

    `spans_lost` and `logs_lost` count, over the whole life of the process, what ended or was emitted
    and no receiver confirmed. `metrics_lost` says that the last figures did not arrive; earlier ones
    are contained in them, because they are cumulative.

    >>> print(ShutdownReport(1.2, 12, 3, False, ("http://localhost:4317",), "timed out"))
    telemetry: 12 spans and 3 log records were not delivered to http://localhost:4317 (timed out)
    """

    elapsed: float
    spans_lost: int = 0
    logs_lost: int = 0
    metrics_lost: bool = False
    addresses: tuple[str, ...] = ()
    """Where what was lost should have gone."""
    reason: str = ""

    @property
    def lost(self) -> bool:
        """True when anything was not delivered."""
        return bool(self.spans_lost or self.logs_lost or self.metrics_lost)

    def __str__(self) -> str:
        if not self.lost:
            return "telemetry: nothing was lost"
        parts = [
            *([_count(self.spans_lost, "span")] if self.spans_lost else []),
            *([_count(self.logs_lost, "log record")] if self.logs_lost else []),
            *(["the last metrics"] if self.metrics_lost else []),
        ]
        what = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
        verb = "was" if (len(parts), self.spans_lost + self.logs_lost) == (1, 1) else "were"
        return f"telemetry: {what} {verb} not delivered to {' and '.join(self.addresses)} ({self.reason})"


def shut_down(
    parts: Mapping[str, Callable[[], None]],
    deliveries: Sequence[Delivery],
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
) -> ShutdownReport:
    """Run all `parts` at once and wait for them, at most `deadline` seconds; then read the accounts.

    Parts that do not end in time are left to daemon threads, which never hold up the interpreter's exit.
    """
    began = clock()
    for delivery in deliveries:
        delivery.begin_closing()
    threads = [
        threading.Thread(target=_run, args=(name, part), name=f"tracefuse-shutdown-{name}", daemon=True)
        for name, part in parts.items()
    ]
    for thread in [thread for thread in threads if _start(thread)]:
        thread.join(max(0.0, began + deadline - clock()))
    unfinished = any(thread.is_alive() for thread in threads)
    return _report(deliveries, elapsed=clock() - began, unfinished=unfinished)


def _start(thread: threading.Thread) -> bool:
    """True when `thread` runs; where the interpreter's end allows no new thread, do its work here."""
    try:
        thread.start()
    except RuntimeError:  # Python 3.12 and later, in an exit handler
        thread.run()
        return False
    return True


def _run(name: str, part: Callable[[], None]) -> None:
    try:
        part()
    except Exception:  # noqa: BLE001 - the other parts still have to end; what was lost is in the accounts
        _log.debug("telemetry: the shutdown of %s failed", name, exc_info=True)


def _report(deliveries: Sequence[Delivery], *, elapsed: float, unfinished: bool) -> ShutdownReport:
    losing = [delivery for delivery in deliveries if delivery.lost or delivery.failing]
    reasons = [delivery.reason for delivery in losing if delivery.reason]
    return ShutdownReport(
        elapsed,
        sum(delivery.lost for delivery in losing if delivery.what == "spans"),
        sum(delivery.lost for delivery in losing if delivery.what == "log records"),
        any(delivery.what == "metrics" for delivery in losing),
        tuple(dict.fromkeys(delivery.address for delivery in losing)),
        "timed out" if unfinished else next(iter(reasons), "queue full"),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
