"""What a history holds, as frozen values: how a scan begins, how it ends, and what is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from .._sqlite import StoreError
from ..nmap import ScanRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .._tool import Caller
    from ..nmap import Change, Report

__all__ = [
    "HistoryError",
    "Page",
    "Query",
    "ScanEnd",
    "ScanStart",
    "ScanState",
    "StoredScan",
    "StoredTransition",
    "UnknownScanError",
    "request_from_dict",
    "request_to_dict",
]


class HistoryError(StoreError):
    """The history cannot be opened, read or written: `path`, `reason`, and `advice`, what to do about it."""


class UnknownScanError(LookupError):
    """There is no scan of this id, or not any more.

    >>> print(UnknownScanError("4f2a"))
    there is no scan '4f2a', or not any more; `tracefuse history` lists those there are
    """

    def __init__(self, scan_id: str) -> None:
        self.scan_id = scan_id
        super().__init__(scan_id)

    def __str__(self) -> str:
        return f"there is no scan {self.scan_id!r}, or not any more; `tracefuse history` lists those there are"


class ScanState(StrEnum):
    """How far a scan is, or how it ended."""

    QUEUED = "queued"
    """It waits for a place; in the store it is `running`."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    REFUSED = "refused"
    """By the policy, a full queue or an open circuit; nothing was started."""
    CANCELLED = "cancelled"
    """Somebody stopped it; what it had found is kept."""
    INTERRUPTED = "interrupted"
    """Its process ended before it did."""

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self not in {ScanState.QUEUED, ScanState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanStart:
    """A scan that begins.

    Attributes:
        scan_id: the id that is in its trace, too.
        request: what was asked for, as `request_to_dict` gives it.
        caller: who asked.
        begun: when; a time with a zone.
        schedule: name of the schedule it belongs to.
        trace_id: 32 hex digits.
        signature: equal for scans that can be compared; see `plan_signature`. Empty without a plan.
        targets: canonical targets and names, to find it by.
    """

    scan_id: str
    request: Mapping[str, Any]
    caller: Caller
    begun: datetime
    schedule: str | None = None
    trace_id: str | None = None
    signature: str = ""
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEnd:
    """How a scan ended.

    Attributes:
        state: a final one.
        document: its result as `completed_to_dict` or `partial_to_dict` gives it; None when there is none.
        error: what went wrong, as data.
        hosts_up: hosts that answered.
        ports_open: open ports in all.
        changes: what differs from the scan it was compared with; None when it was compared with none.
        compared_with: id of that scan.
        started: when it had a place and was let through; None when it never was.
        ended: when; by default the moment it is stored.
        report: the result of a completed one as a value; what it found open is known by port then.
    """

    state: ScanState
    document: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    hosts_up: int | None = None
    ports_open: int | None = None
    changes: tuple[Change, ...] | None = None
    compared_with: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    report: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredScan:
    """A scan in the history, without its result.

    `number` grows with each scan. `changes` is how many there are, None when it was compared with none;
    `size` is how many bytes its result takes, 0 when there is none.
    """

    number: int
    scan_id: str
    state: ScanState
    request: Mapping[str, Any]
    caller: Caller
    begun: datetime
    started: datetime | None = None
    ended: datetime | None = None
    schedule: str | None = None
    trace_id: str | None = None
    signature: str = ""
    error: Mapping[str, Any] | None = None
    hosts_up: int | None = None
    ports_open: int | None = None
    changes: int | None = None
    compared_with: str | None = None
    size: int = 0

    @property
    def seconds(self) -> float | None:
        """How long it took, waiting included."""
        return None if self.ended is None else (self.ended - self.begun).total_seconds()

    def to_dict(self) -> dict[str, Any]:
        """The scan in plain values, ready for JSON; times as ISO 8601 in UTC."""
        return {
            "scan_id": self.scan_id,
            "state": str(self.state),
            "request": dict(self.request),
            "caller": {"kind": str(self.caller.kind), "name": self.caller.name, "user": self.caller.user},
            "schedule": self.schedule,
            "begun": self.begun.isoformat(),
            "started": None if self.started is None else self.started.isoformat(),
            "ended": None if self.ended is None else self.ended.isoformat(),
            "trace_id": self.trace_id,
            "error": None if self.error is None else dict(self.error),
            "hosts_up": self.hosts_up,
            "ports_open": self.ports_open,
            "changes": self.changes,
            "compared_with": self.compared_with,
            "size": self.size,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which scans are wanted; what is None does not matter.

    Attributes:
        state: the state they are in.
        template: name of the template.
        target: an address, a network, a range or a name that they scanned at least in part.
        caller: kind, name or user of the caller.
        schedule: name of the schedule.
        since: begun at this time or later.
        until: begun before this time.
        limit: at most so many, 1 to 1,000; the newest.
        before: the `next` of an earlier page.
    """

    state: ScanState | None = None
    template: str | None = None
    target: str | None = None
    caller: str | None = None
    schedule: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Scans, the newest first, and where the next page begins; None when this was the last."""

    scans: tuple[StoredScan, ...] = field(default=())
    next: int | None = None


@dataclass(frozen=True, slots=True)
class StoredTransition:
    """A change of state of one breaker: when, from where to where, and why."""

    at: datetime
    breaker: str
    from_state: str
    to_state: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The change in plain values, ready for JSON."""
        return asdict(self) | {"at": self.at.isoformat()}


def request_to_dict(request: ScanRequest) -> dict[str, Any]:
    """The fields of `request` that are not at their defaults, ready for JSON.

    >>> request_to_dict(ScanRequest("10.0.0.7", template="quick"))
    {'target': '10.0.0.7', 'template': 'quick'}
    """
    plain, defaults = asdict(request), asdict(ScanRequest())
    return {name: _as_list(value) for name, value in plain.items() if value != defaults[name]}


def request_from_dict(data: Mapping[str, Any]) -> ScanRequest:
    """The request that `request_to_dict` wrote.

    >>> request_from_dict({"targets": ["10.0.0.7"]}).targets
    ('10.0.0.7',)
    """
    return ScanRequest(**{name: _as_tuple(value) for name, value in data.items()})


def _as_list(value: Any) -> Any:
    return [*value] if _is(value, tuple) else value


def _as_tuple(value: Any) -> Any:
    return (*value,) if _is(value, list) else value


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind)  # apart, since a type checker would take "list" for "list of nobody knows what"
