"""What changed between two scans, as frozen values that read like a review."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

__all__ = ["Change", "ChangeKind", "ReportDiff"]


class ChangeKind(StrEnum):
    """Kinds of change: a small set, so that it can be an attribute of a metric."""

    HOST_NEW = "host_new"
    """Up now; the old scan looked there and did not list it."""
    HOST_GONE = "host_gone"
    """Was up; the new scan looked there and does not list it."""
    HOST_UP = "host_up"
    """Was listed as down, is up."""
    HOST_DOWN = "host_down"
    """Was up, is listed as down."""
    PORT_OPENED = "port_opened"
    PORT_CLOSED = "port_closed"
    """Was open, is not; `after` has the state, such as `filtered`."""
    PORT_STATE = "port_state"
    """Was not open and is not, but the state is another."""
    SERVICE_CHANGED = "service_changed"
    """Another service, by name or tunnel."""
    VERSION_CHANGED = "version_changed"
    """The same service, another product, version or remark."""
    SCRIPT_CHANGED = "script_changed"
    OS_CHANGED = "os_changed"


_OPPOSITE: Final = {
    ChangeKind.HOST_NEW: ChangeKind.HOST_GONE,
    ChangeKind.HOST_GONE: ChangeKind.HOST_NEW,
    ChangeKind.HOST_UP: ChangeKind.HOST_DOWN,
    ChangeKind.HOST_DOWN: ChangeKind.HOST_UP,
    ChangeKind.PORT_OPENED: ChangeKind.PORT_CLOSED,
    ChangeKind.PORT_CLOSED: ChangeKind.PORT_OPENED,
}
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one host. `before` and `after` hold what the kind is about, None for nothing.

    >>> print(Change(ChangeKind.PORT_OPENED, "10.0.0.7", "tcp", 443, before="closed", after="open: https"))
    10.0.0.7: 443/tcp opened: https (was closed)
    """

    kind: ChangeKind
    host: str
    protocol: str | None = None
    port: int | None = None
    script: str | None = None
    before: str | None = None
    after: str | None = None

    @property
    def subject(self) -> str:
        """The port and script that the change is about, as in `443/tcp ssl-cert`; empty for the host itself."""
        port = None if self.port is None else f"{self.port}/{self.protocol}"
        return " ".join(part for part in (port, self.script) if part)

    @property
    def summary(self) -> str:
        """The change without the host, in one line."""
        before, after = _line(self.before), _line(self.after)
        match self.kind:
            case ChangeKind.HOST_NEW:
                return f"new host, {after}"
            case ChangeKind.HOST_GONE:
                return f"gone, was {before}"
            case ChangeKind.HOST_UP:
                return f"came up, {after}"
            case ChangeKind.HOST_DOWN:
                return f"went down, was {before}"
            case ChangeKind.PORT_OPENED:
                return f"{self.subject} opened{after.removeprefix('open')} (was {before})"
            case ChangeKind.PORT_CLOSED:
                return f"{self.subject} {after}, was {before}"
            case _:
                return f"{self.subject or 'system'} {_WORD[self.kind]}: {before} -> {after}"

    def inverse(self) -> Change:
        """Return the change that undoes this one."""
        return replace(self, kind=_OPPOSITE.get(self.kind, self.kind), before=self.after, after=self.before)

    def to_dict(self) -> dict[str, Any]:
        """Return the change for JSON, without empty fields."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**{name: value for name, value in values.items() if value is not None}, "kind": str(self.kind)}

    def __str__(self) -> str:
        return f"{self.host}: {self.summary}"


_WORD: Final = {
    ChangeKind.PORT_STATE: "state",
    ChangeKind.SERVICE_CHANGED: "service",
    ChangeKind.VERSION_CHANGED: "version",
    ChangeKind.SCRIPT_CHANGED: "said",
    ChangeKind.OS_CHANGED: "looks different",
}


def _line(value: str | None) -> str:
    """Return a text in one line of bounded length, for people."""
    line = " ".join((value or "nothing").split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


@dataclass(frozen=True, slots=True)
class ReportDiff:
    """The changes between two scans, in order of host and port.

    `hosts_compared` is how many hosts both scans covered, `not_compared` lists hosts that only one did.
    It is true when something changed.

    >>> print(ReportDiff(hosts_compared=3))
    No changes in 3 hosts.
    """

    changes: tuple[Change, ...] = ()
    hosts_compared: int = 0
    not_compared: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def inverse(self) -> ReportDiff:
        """Return the diff in the other direction."""
        return replace(self, changes=tuple(change.inverse() for change in self.changes))

    def to_dict(self) -> dict[str, Any]:
        """Return the diff for JSON."""
        return {
            "schema": "tracefuse.diff/1",
            "changes": [change.to_dict() for change in self.changes],
            "hosts_compared": self.hosts_compared,
            "not_compared": list(self.not_compared),
        }

    def __str__(self) -> str:
        hosts = "1 host" if self.hosts_compared == 1 else f"{self.hosts_compared} hosts"
        count = "1 change" if len(self.changes) == 1 else f"{len(self.changes) or 'No'} changes"
        lines = [f"{count} in {hosts}{':' if self.changes else '.'}"]
        for host, changes in groupby(self.changes, key=lambda change: change.host):
            lines.append(host)
            lines.extend(f"  {change.summary}" for change in changes)
        if self.not_compared:
            shown = ", ".join(self.not_compared[:5]) + (", ..." if len(self.not_compared) > 5 else "")
            lines.append(f"Not compared, since only one scan covered them ({len(self.not_compared)}): {shown}")
        return "\n".join(lines)
