"""A whole scan as one frozen value: what was asked, what was found, and whether that is all.

Points in time are float seconds since the epoch (UTC), durations are float seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ._outcome import Outcome, outcome_of
from ._phases import phase_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._host import Host, Port, Script

__all__ = ["Phase", "Report", "RunStats", "ScanInfo", "Target"]


@dataclass(frozen=True, slots=True)
class ScanInfo:
    """One kind of scan and the ports it covered, as nmap's range list in `services`."""

    type: str
    protocol: str
    services: str = ""
    count: int | None = None
    flags: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A target that nmap could not take, as it was written."""

    specification: str
    status: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the scan with nmap's own times. `ended` is None when the scan stopped inside it."""

    task: str
    began: float
    ended: float | None = None
    info: str | None = None

    @property
    def name(self) -> str:
        """The task without what varies from scan to scan: one of a small set of names."""
        return phase_name(self.task)


@dataclass(frozen=True, slots=True)
class RunStats:
    """nmap's own summary, written last. `exit` is `success` or `error`; nmap before 5.35 says neither."""

    finished: float | None = None
    elapsed: float | None = None
    summary: str | None = None
    exit: str | None = None
    error_message: str | None = None
    hosts_up: int = 0
    hosts_down: int = 0
    hosts_total: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """One scan.

    `complete` is False when the output ended early or the scanner reported an error; then
    `incomplete_reason` says why (`truncated`, `error`, or what the one who stopped it gave) and
    `hosts` holds every host that was finished before.

    >>> Report(complete=False, incomplete_reason="timeout").outcome
    <Outcome.PARTIAL: 'partial'>
    """

    scanner: str = "nmap"
    version: str | None = None
    arguments: str | None = None
    started: float | None = None
    hosts: tuple[Host, ...] = ()
    scan_info: tuple[ScanInfo, ...] = ()
    phases: tuple[Phase, ...] = ()
    targets: tuple[Target, ...] = ()
    pre_scripts: tuple[Script, ...] = ()
    post_scripts: tuple[Script, ...] = ()
    stats: RunStats | None = None
    complete: bool = True
    incomplete_reason: str | None = None
    xml_version: str | None = None
    profile: str | None = None
    verbose: int | None = None
    debugging: int | None = None
    output: str | None = None
    unknown_elements: tuple[str, ...] = ()
    """Names of elements that nmap's document type does not have; they were skipped."""

    @property
    def started_at(self) -> datetime | None:
        """When the scan began, as an aware datetime in UTC."""
        return None if self.started is None else datetime.fromtimestamp(self.started, UTC)

    @property
    def finished(self) -> float | None:
        """When the scan ended; None when it was cut."""
        return self.stats.finished if self.stats else None

    @property
    def finished_at(self) -> datetime | None:
        """When the scan ended, as an aware datetime in UTC."""
        return None if self.finished is None else datetime.fromtimestamp(self.finished, UTC)

    @property
    def elapsed(self) -> float | None:
        """How long the scan took, in seconds, by nmap's own clock."""
        return self.stats.elapsed if self.stats else None

    @property
    def hosts_up(self) -> int:
        """How many hosts answered: nmap's own figure when it gave one."""
        return self.stats.hosts_up if self.stats else sum(host.is_up for host in self.hosts)

    @property
    def hosts_down(self) -> int:
        """How many did not. nmap counts more than it lists."""
        return self.stats.hosts_down if self.stats else sum(host.state == "down" for host in self.hosts)

    @property
    def hosts_total(self) -> int:
        """How many addresses were looked at."""
        return self.stats.hosts_total if self.stats else len(self.hosts)

    @property
    def outcome(self) -> Outcome:
        """What became of the scan, as far as the report alone tells (`outcome_of` takes more evidence)."""
        return outcome_of(self)

    def host(self, address_or_name: str) -> Host | None:
        """Return the first host that has this address or name."""
        wanted = address_or_name.casefold()
        return next((host for host in self.hosts if wanted in _handles(host)), None)

    def open_ports(self) -> Iterator[tuple[Host, Port]]:
        """Iterate over the open ports of all hosts.

        >>> from tracefuse.tools.nmap._host import Host, Port
        >>> report = Report(hosts=(Host("up", ports=(Port("tcp", 22, "open"), Port("tcp", 23, "closed"))),))
        >>> [str(port) for _, port in report.open_ports()]
        ['22/tcp']
        """
        return ((host, port) for host in self.hosts for port in host.ports if port.state == "open")


def _handles(host: Host) -> set[str]:
    return {address.value.casefold() for address in host.addresses} | {name.name.casefold() for name in host.hostnames}
