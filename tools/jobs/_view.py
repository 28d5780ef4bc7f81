"""How a scan stands at one moment: the same for one that runs here and one from the history."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .._tool import Caller
from ..history._records import ScanState, UnknownScanError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..history._records import StoredScan

__all__ = ["JobView", "JobsClosedError", "UnknownScanError", "view_of_stored"]


class JobsClosedError(RuntimeError):
    """The service goes down and takes no more scans."""

    def __str__(self) -> str:
        return "the service goes down and takes no more scans; ask again when it is back"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A scan at one moment.

    Attributes:
        scan_id: its id, the same in its trace and in the history.
        state: how far it is, or how it ended.
        caller: who asked.
        request: what was asked for, without what is at its default.
        created: when it was asked for; all times in UTC.
        started: when it had a place and was let through.
        ended: when it ended; None while it goes on, and when nobody saw its end.
        percent: how much of it is done, an estimate; 100 only when it is completed.
        phase: what nmap does now, or why it waits.
        hosts_up: hosts that answered, so far.
        ports_open: open ports found, so far.
        changes: how many things differ from the last comparable scan; None when there was none.
        compared_with: id of that scan.
        error: why it was not completed, as data.
        trace_id: 32 hex digits, or None when nothing was traced.
        schedule: name of the schedule it belongs to.
        warnings: what could not be stored, in words.
    """

    scan_id: str
    state: ScanState
    caller: Caller
    request: Mapping[str, Any]
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    percent: float = 0.0
    phase: str = ""
    hosts_up: int | None = None
    ports_open: int | None = None
    changes: int | None = None
    compared_with: str | None = None
    error: Mapping[str, Any] | None = None
    trace_id: str | None = None
    schedule: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.state.is_final

    def to_dict(self) -> dict[str, Any]:
        """The view in plain values, ready for JSON; times as ISO 8601."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case ScanState():
            return str(value)
        case Caller():
            return {"kind": str(value.kind), "name": value.name, "user": value.user}
        case tuple():
            return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            return value


def view_of_stored(scan: StoredScan) -> JobView:
    """The view of a scan in the history."""
    return JobView(
        scan_id=scan.scan_id,
        state=scan.state,
        caller=scan.caller,
        request=scan.request,
        created=scan.begun,
        started=scan.started,
        ended=scan.ended,
        percent=100.0 if scan.state is ScanState.COMPLETED else 0.0,
        hosts_up=scan.hosts_up,
        ports_open=scan.ports_open,
        changes=scan.changes,
        compared_with=scan.compared_with,
        error=scan.error,
        trace_id=scan.trace_id,
        schedule=scan.schedule,
    )
