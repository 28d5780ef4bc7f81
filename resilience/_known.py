"""The surface users know from `mcp_server.circuit_breaker`, as a thin face over the shell.

Methods that change the state have taken effect when they return, with or without a running loop,
from any thread; what an asynchronous one awaits, and a `_nowait` one returns as a task, is only the
end of asynchronous listeners.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ._core import BreakerCore
from ._events import CircuitBreakerState, Outcome
from ._operator import OperatedBreaker
from ._persist import restore_into, snapshot_of
from ._stats import CircuitBreakerStats, StateTransition

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._config import ErrorPredicate, ExceptionTypes
    from ._events import Transition
    from ._snapshot import BreakerSnapshot

__all__ = ["KnownSurface"]

_log = logging.getLogger("tracefuse.resilience")


class KnownSurface(OperatedBreaker):
    """Statistics, history, switching by hand and reporting from outside."""

    __slots__ = ()

    @property
    def failure_threshold(self) -> int:
        """Failures in a row that trip."""
        return self.config.failure_threshold

    @property
    def success_threshold(self) -> int:
        """Probes in a row that close."""
        return self.config.success_threshold

    @property
    def expected_exception(self) -> ExceptionTypes | ErrorPredicate:
        """What counts as a failure."""
        return self.config.expected_exception

    @property
    def timeout_multiplier(self) -> float:
        """Growth of the wait after a failed probe."""
        return self.config.timeout_multiplier

    @property
    def max_timeout(self) -> float:
        """The longest wait, in seconds."""
        return self.config.max_timeout

    @property
    def enable_jitter(self) -> bool:
        """Whether the wait is spread."""
        return self.config.jitter > 0

    @property
    def initial_recovery_timeout(self) -> float:
        """The first wait, in seconds."""
        return self.config.recovery_timeout

    @property
    def current_recovery_timeout(self) -> float:
        """The wait of the present or the next opening, before jitter, in seconds."""
        return self._core.wait

    @property
    def failure_count(self) -> int:
        """Failures in a row as the state machine sees them."""
        return self._core.failures

    @property
    def stats(self) -> CircuitBreakerStats:
        """The statistics now, as a copy."""
        with self._lock:
            tally, core = self._tally, self._core
            shift = self._wall_clock() - self._clock()
            admitted, rejected = tally.asked()
            return CircuitBreakerStats(
                total_calls=admitted,
                successful_calls=tally.successful,
                failed_calls=tally.failed,
                rejected_calls=rejected,
                consecutive_failures=core.failures,
                consecutive_successes=core.successes,
                last_failure_time=_shifted(tally.last_failure, shift),
                last_success_time=_shifted(tally.last_success, shift),
                state_changes=tally.state_changes,
                last_state_change=_shifted(tally.last_change, shift),
                failure_reasons=dict(tally.reasons or {}),
                total_latency=tally.latency,
            )

    def get_stats(self) -> dict[str, Any]:
        """Everything about the breaker as plain data that goes through JSON, as a copy.

        >>> from tracefuse.resilience import CircuitBreaker
        >>> CircuitBreaker(name="db").get_stats()["config"]["failure_threshold"]
        5
        """
        stats = self.stats
        config = self.config
        state = self.state
        rate = 100.0 * stats.successful_calls / stats.total_calls if stats.total_calls else 0.0
        return {
            "name": self.name,
            "state": state.name,
            "mode": self.mode.value,
            "stats": {
                "total_calls": stats.total_calls,
                "successful_calls": stats.successful_calls,
                "failed_calls": stats.failed_calls,
                "rejected_calls": stats.rejected_calls,
                "success_rate": round(rate, 2),
                "average_latency": round(stats.get_average_latency(), 4),
                "consecutive_failures": stats.consecutive_failures,
                "consecutive_successes": stats.consecutive_successes,
                "state_changes": stats.state_changes,
                "failure_reasons": stats.failure_reasons,
            },
            "config": {
                "failure_threshold": config.failure_threshold,
                "current_timeout": round(self.current_recovery_timeout, 2),
                "initial_timeout": config.recovery_timeout,
                "max_timeout": config.max_timeout,
                "success_threshold": config.success_threshold,
                "timeout_multiplier": config.timeout_multiplier,
                "jitter_enabled": config.jitter > 0,
            },
            "timing": {
                "last_failure": _iso(stats.last_failure_time),
                "last_success": _iso(stats.last_success_time),
                "last_state_change": _iso(stats.last_state_change),
                "retry_after": self._open_for() if state is CircuitBreakerState.OPEN else None,
            },
            "recent_errors": self._recent_errors(),
            "state_history": self.get_state_history(5),
        }

    @property
    def transitions(self) -> tuple[StateTransition, ...]:
        """The last 100 changes of state, newest last."""
        with self._lock:
            kept = tuple(self._tally.history or ())
        return tuple(
            StateTransition(
                datetime.fromtimestamp(wall, UTC), event.from_state, event.to_state, event.reason, dict(event.details)
            )
            for wall, event in kept
        )

    def get_state_history(self, count: int = 10) -> list[dict[str, Any]]:
        """The last `count` (1 to 100) changes of state as plain data, newest last."""
        return [entry.to_dict() for entry in self.transitions[-max(1, min(count, 100)) :]]

    # by hand

    async def force_open(self) -> None:
        """Open now; the breaker recovers by itself after the recovery time (`isolate` is the lasting form)."""
        self._force(BreakerCore.force_open)
        await self._heard()

    async def force_close(self) -> None:
        """Close now and forget streaks and the grown wait."""
        self._force(BreakerCore.force_close)
        await self._heard()

    def force_open_nowait(self) -> asyncio.Task[None] | None:
        """`force_open` at once; inside a running loop returns the task of the asynchronous listeners."""
        return self._force_nowait(BreakerCore.force_open)

    def force_close_nowait(self) -> asyncio.Task[None] | None:
        """`force_close` at once; inside a running loop returns the task of the asynchronous listeners."""
        return self._force_nowait(BreakerCore.force_close)

    def call_succeeded(self) -> None:
        """Count a success of a call made elsewhere."""
        self._report(Outcome.SUCCESS)

    def call_failed(self, error: BaseException | None = None) -> None:
        """Count a failure of a call made elsewhere."""
        self._report(Outcome.FAILURE, error)

    async def cleanup(self) -> None:
        """Cancel and await the tasks of asynchronous listeners in this loop. No state change is lost."""
        notifier = self._notifier
        tasks = set[asyncio.Task[None]]() if notifier is None else notifier.tasks | notifier.waiters
        _log.info("circuit_breaker.cleanup_started name=%s", self.name)
        loop = asyncio.get_running_loop()
        mine = [task for task in tuple(tasks) if task.get_loop() is loop and task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        if notifier is not None:
            notifier.tasks.difference_update(mine)
            notifier.waiters.difference_update(mine)
        _log.info("circuit_breaker.cleanup_completed name=%s tasks_cleaned=%d", self.name, len(mine))

    def snapshot(self) -> BreakerSnapshot:
        """The state as a value that can be stored; see `StateKeeper` for keeping it automatically."""
        return snapshot_of(self)

    def restore(self, snapshot: BreakerSnapshot) -> None:
        """Go on from `snapshot`: meant for a new breaker, whose counts it replaces."""
        restore_into(self, snapshot)

    def reset_for_testing(self) -> None:
        """Be as new: closed, normal mode, no counts, no history. Tells nobody."""
        with self._lock:
            self._forget()

    # inside

    def _force_nowait(self, move: Callable[[BreakerCore, float], Transition | None]) -> asyncio.Task[None] | None:
        self._force(move)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        waiters = self._queue().waiters
        task = loop.create_task(self._heard())
        waiters.add(task)
        task.add_done_callback(waiters.discard)
        return task

    def _open_for(self) -> float | None:
        retry_after = self.retry_after
        return None if retry_after is None else round(retry_after, 2)

    def _recent_errors(self) -> list[dict[str, Any]]:
        with self._lock:
            shift = self._wall_clock() - self._clock()
            kept = tuple(self._tally.errors or ())
        return [
            {
                "timestamp": _iso(at + shift),
                "error": error,
                "type": kind,
                "execution_time": round(execution_time, 4),
            }
            for at, error, kind, execution_time in kept
        ]


def _shifted(at: float | None, shift: float) -> float | None:
    return None if at is None else at + shift


def _iso(wall: float | None) -> str | None:
    return None if wall is None else datetime.fromtimestamp(wall, UTC).isoformat()
