"""What a running scan says, as frozen values in the order in which nmap says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ._host import Host
    from ._report import RunStats

__all__ = [
    "HostFinished",
    "HostHinted",
    "PhaseBegan",
    "PhaseEnded",
    "Progress",
    "ScanEvent",
    "ScanFinished",
    "ScanStarted",
]


@dataclass(frozen=True, slots=True)
class ScanStarted:
    """The scanner runs: its name and version, its arguments, and when it began (epoch seconds)."""

    scanner: str
    version: str | None = None
    arguments: str | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """A phase began (nmap says so with `-v`). Phases follow one another, they do not nest."""

    task: str
    at: float


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """A phase ended.

    nmap leaves out the end of a phase that had nothing to do. It is then taken to end when the next
    begins or the scan finishes, so that every `PhaseBegan` of a scan that was not cut has its end.
    """

    task: str
    at: float
    info: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the current phase is, in percent; `remaining` (s) and `etc` (epoch seconds) are nmap's estimates.

    The percentage starts again with each phase and with each group of hosts.
    """

    task: str
    at: float
    percent: float
    remaining: float | None = None
    etc: float | None = None


@dataclass(frozen=True, slots=True)
class HostHinted:
    """A host answered; its ports are not scanned yet."""

    host: Host


@dataclass(frozen=True, slots=True)
class HostFinished:
    """All that was asked about a host is known."""

    host: Host


@dataclass(frozen=True, slots=True)
class ScanFinished:
    """The scanner wrote its summary."""

    stats: RunStats


ScanEvent: TypeAlias = ScanStarted | PhaseBegan | PhaseEnded | Progress | HostHinted | HostFinished | ScanFinished
