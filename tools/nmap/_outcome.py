"""What became of a scan: exit status 0 alone says little, because nmap also leaves with 0 when it did nothing."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._report import Report

__all__ = ["Outcome", "outcome_of"]

_UNRESOLVED: Final = re.compile(r"^Failed to resolve|^Unable to split netmask|^Invalid target", re.MULTILINE)


class Outcome(StrEnum):
    """What became of a scan. Only `FAILED` speaks against the tool."""

    SUCCESS = "success"
    """Ran to its end, looked at one host or more, and every target was understood."""
    PARTLY_UNRESOLVED = "partly_unresolved"
    """Ran to its end, but a target was not understood or its name has no address."""
    HOSTS_TIMED_OUT = "hosts_timed_out"
    """Ran to its end, but gave up on a host (`--host-timeout`)."""
    HOSTS_DOWN = "hosts_down"
    """Ran to its end; none of the hosts answered."""
    UNRESOLVED = "unresolved"
    """No target was understood or had an address, so nothing was scanned."""
    NO_HOSTS = "no_hosts"
    """Nothing was scanned: there was no target, or all were excluded."""
    PARTIAL = "partial"
    """Stopped or cut; what had been found is there."""
    FAILED = "failed"
    """nmap said that it failed, or left with another exit status than 0."""

    @property
    def is_success(self) -> bool:
        """True for `SUCCESS` alone."""
        return self is Outcome.SUCCESS


def outcome_of(report: Report, *, exit_code: int | None = 0, stderr: str = "") -> Outcome:
    """Classify a scan by its report and, when there was a process, its exit code and error output.

    `exit_code` is None for a process that was stopped by us. Names that do not resolve are only told
    on standard error; without it they show as `NO_HOSTS`.

    >>> from tracefuse.tools.nmap._report import Report, RunStats
    >>> outcome_of(Report(stats=RunStats(exit="success")), stderr='Failed to resolve "nosuch".')
    <Outcome.UNRESOLVED: 'unresolved'>
    """
    stats = report.stats
    if stats is not None and stats.exit == "error":
        return Outcome.FAILED
    if exit_code is not None and exit_code > 0:
        return Outcome.FAILED
    if not report.complete:
        return Outcome.PARTIAL
    unresolved = bool(report.targets) or _UNRESOLVED.search(stderr) is not None
    if not report.hosts_total and not report.hosts:
        return Outcome.UNRESOLVED if unresolved else Outcome.NO_HOSTS
    if unresolved:
        return Outcome.PARTLY_UNRESOLVED
    if any(host.timed_out for host in report.hosts):
        return Outcome.HOSTS_TIMED_OUT
    if not report.hosts_up and all(host.state == "down" for host in report.hosts):
        return Outcome.HOSTS_DOWN
    return Outcome.SUCCESS
