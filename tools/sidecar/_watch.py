"""When a collector that ended or does not answer is started again: values in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tracefuse.resilience import RetryPolicy

__all__ = ["RESTARTS", "SETTLED", "Life", "Restart", "SidecarState", "SidecarStatus", "next_start"]

RESTARTS: Final = RetryPolicy(wait=1.0, multiplier=2.0, max_wait=60.0, jitter=0.2)
"""The waits between starts: one second, doubled each time, a minute at most."""
SETTLED: Final = 60.0
"""Seconds of good health after which earlier failures are forgotten."""


class SidecarState(StrEnum):
    """What a sidecar is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    """The collector runs and has not answered its health check yet."""
    RUNNING = "running"
    WAITING = "waiting"
    """The collector has ended, and is started again after a wait."""
    FAILED = "failed"
    """Given up: it ended too often without ever being healthy."""


@dataclass(frozen=True, slots=True)
class SidecarStatus:
    """A sidecar at one moment.

    Attributes:
        state: what it is doing.
        collector: the program, as a path.
        pid: the collector's process id while there is one.
        restarts: how often it was started again.
        problem: why it is not running, in the collector's own words where it has any; or "".
        wait: seconds until it is started again, in the state WAITING.
    """

    state: SidecarState = SidecarState.STOPPED
    collector: str = ""
    pid: int | None = None
    restarts: int = 0
    problem: str = ""
    wait: float | None = None

    @property
    def line(self) -> str:
        """One line for a person.

        >>> SidecarStatus(SidecarState.WAITING, restarts=1, problem="it was killed", wait=2.0).line
        'the collector does not run (it was killed); the next start is in 2 s'
        """
        match self.state:
            case SidecarState.STOPPED:
                return "the collector has stopped"
            case SidecarState.STARTING:
                return f"{self.collector} starts (pid {self.pid})"
            case SidecarState.RUNNING:
                return f"{self.collector} runs and is healthy (pid {self.pid})"
            case SidecarState.WAITING:
                return f"the collector does not run ({self.problem}); the next start is in {self.wait or 0:.2g} s"
            case SidecarState.FAILED:
                return f"the collector does not start ({self.problem}); given up"


@dataclass(frozen=True, slots=True)
class Life:
    """One life of the collector: why it ended, and for how many seconds it was healthy (None: never)."""

    problem: str
    healthy: float | None


@dataclass(frozen=True, slots=True)
class Restart:
    """What follows a life: the failures in a row so far, and the wait in seconds; None: give up."""

    failures: int
    wait: float | None


def next_start(
    life: Life, failures: int, *, ever_healthy: bool, policy: RetryPolicy = RESTARTS, limit: int | None, spread: float
) -> Restart:
    """Decide what follows `life`, after `failures` lives in a row that had failed.

    `spread` is a random number from 0 to 1. With a `limit`, a collector that fails so often in a row and
    was never healthy is given up: what is wrong is how it is set up. One that ran before is started for ever.

    >>> next_start(Life("it was killed", 600.0), 4, ever_healthy=True, limit=5, spread=0.5)
    Restart(failures=1, wait=1.0)
    >>> next_start(Life("address already in use", None), 4, ever_healthy=False, limit=5, spread=0.5)
    Restart(failures=5, wait=None)
    """
    failures = 1 if life.healthy is not None and life.healthy >= SETTLED else failures + 1
    if limit is not None and not ever_healthy and failures >= limit:
        return Restart(failures, None)
    # The exponent is bounded for the number's sake: the wait has long reached its maximum there.
    wait = min(policy.wait * policy.multiplier ** min(failures - 1, 64), policy.max_wait)
    return Restart(failures, min(wait * (1 + policy.jitter * (2 * spread - 1)), policy.max_wait))
