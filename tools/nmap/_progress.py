"""How far a whole scan is: one percentage that never goes back, from nmap's many that do.

nmap counts each phase from 0 to 100, and again for each group of hosts; it never says how many phases
or groups are to come. What is to come follows from the plan (`_expectation`), and what has been from
the events. The outcome is an estimate: it does not know which phase will be slow. It keeps three
promises: it never falls, also when a failed run is tried again; it is 100 only when the scan has
finished; and without any progress from nmap (7.94 to 7.99 without a terminal) it still goes on with
each phase and each host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._expectation import DISCOVERY, DNS, OS, PORT_SCAN, SCRIPTS, SERVICES, TRACE, UDP_SCAN
from ._phases import phase_name
from ._scan_events import HostFinished, HostHinted, PhaseBegan, PhaseEnded, Progress, ScanFinished, ScanStarted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._expectation import Expectation, Stage
    from ._live_ports import PortDiscovered
    from ._scan_events import ScanEvent

__all__ = ["OverallProgress", "ScanEstimate"]

_STEP: Final = 0.5
"""Percentage points that are worth telling."""
_MOST: Final = 99.0
"""Until the scan has finished."""

_STAGES: Final = {
    "ARP Ping Scan": DISCOVERY, "ND Ping Scan": DISCOVERY, "Ping Scan": DISCOVERY,
    "Parallel DNS resolution": DNS, "System DNS resolution": DNS,
    "UDP Scan": UDP_SCAN, "Service scan": SERVICES, "RPCGrind Scan": SERVICES, "OS Scan": OS, "Traceroute": TRACE,
    "NSE": SCRIPTS, "SCRIPT ENGINE": SCRIPTS, "Script Scan": SCRIPTS,
    "Script Pre-Scan": "", "Script Post-Scan": "", "other": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OverallProgress:
    """An estimate of how much of the whole scan is done, 0 to 100, and the phase it is in."""

    percent: float
    phase: str


class _Course:
    """Stages in their order, and how far one has come."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._names = [stage.name for stage in stages]
        self._weights = [stage.weight for stage in stages]
        self.weight = sum(self._weights)
        self.restart()

    def restart(self) -> None:
        self._at, self._fraction = -1, 0.0

    def move(self, name: str, fraction: float) -> bool:
        """Be in the stage `name`, that far; False when it is none of these."""
        if name not in self._names:
            return False
        at = self._names.index(name)
        # Scripts also run before everything; in their own stage they follow another.
        if name == SCRIPTS and self._at < 0 and len(self._names) > 1:
            return False
        self._at, self._fraction = at, fraction
        return True

    def finish(self) -> None:
        """All stages are over."""
        self._at, self._fraction = len(self._names) - 1, 1.0

    @property
    def done(self) -> float:
        """0 to 1; a stage counts as over when a later one is reached."""
        if not self._names:
            return 0.0
        passed = sum(self._weights[: max(self._at, 0)])
        running = self._weights[self._at] * self._fraction if self._at >= 0 else 0.0
        return (passed + running) / self.weight


class ScanEstimate:
    """Follows one request over all its attempts.

    >>> from tracefuse.tools.nmap._expectation import Expectation, Stage
    >>> estimate = ScanEstimate(Expectation(4, (Stage("discovery", 1.0),), (Stage("ports", 3.0),), 4, 4))
    >>> estimate.event(PhaseBegan("Ping Scan", 0.0))
    OverallProgress(percent=0.0, phase='Ping Scan')
    >>> estimate.event(PhaseBegan("Connect Scan", 1.0))
    OverallProgress(percent=25.0, phase='Connect Scan')
    >>> estimate.event(Progress("Connect Scan", 2.0, 50.0))
    OverallProgress(percent=62.5, phase='Connect Scan')
    """

    def __init__(self, expected: Expectation) -> None:
        self._expected = expected
        self._once = _Course(expected.once)
        self._each = _Course(expected.each)
        self._share = self._once.weight / ((self._once.weight + self._each.weight) or 1.0)
        self._told: OverallProgress | None = None
        self._begin()

    def _begin(self) -> None:
        self._once.restart()
        self._each.restart()
        self._hinted = self._up = self._finished = 0
        self._phase = "starting"

    def event(self, event: ScanEvent | PortDiscovered | OverallProgress, /) -> OverallProgress | None:
        """What `event` means for the whole scan; None when too little to tell."""
        match event:
            case ScanStarted():
                self._begin()
            case PhaseBegan(task):
                self._move(task, 0.0)
            case Progress(task, _, percent):
                self._move(task, percent / 100.0)
            case PhaseEnded(task):
                self._move(task, 1.0)
            case HostHinted():
                self._hinted += 1
            case HostFinished(host):
                self._finished += 1
                self._up += host.state == "up"
                self._each.restart()
            case ScanFinished(stats) if stats.exit != "error":
                return self._tell(100.0)
            case _:
                return None
        return self._tell(min(100.0 * self._done(), _MOST))

    def _move(self, task: str, fraction: float) -> None:
        self._phase = phase_name(task)
        stage = _STAGES.get(self._phase, PORT_SCAN)
        if self._each.move(stage, fraction):
            self._once.finish()
        else:
            self._once.move(stage, fraction)

    def _done(self) -> float:
        if not self._each.weight:
            return self._once.done
        # Who answered is known before the first ports are tried; without that, everybody is expected to.
        hosts = max(self._hinted or self._expected.addresses, self._up, 1)
        finished = min(self._up if self._hinted else self._finished, hosts)
        group = self._expected.group if finished else self._expected.first_group
        part = (finished + min(group, hosts - finished) * self._each.done) / hosts
        return self._share * self._once.done + (1.0 - self._share) * part

    def _tell(self, percent: float) -> OverallProgress | None:
        told = self._told
        if told is not None:
            percent = max(percent, told.percent)
            enough = percent - told.percent >= _STEP or (percent == 100.0 and told.percent < 100.0)
            if not enough and self._phase == told.phase:
                return None
        self._told = OverallProgress(round(percent, 1), self._phase)
        return self._told
