"""Between the values of a history and the rows of its tables; results and changes as compressed JSON."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from .._tool import Caller, CallerKind
from ..nmap import Change, ChangeKind
from ._records import ScanState, StoredScan
from ._targets import address_set, span_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ._records import Query, ScanEnd, ScanStart

__all__ = [
    "COLUMNS",
    "conditions",
    "end_row",
    "moment",
    "overlap",
    "pack",
    "pack_changes",
    "stamp",
    "start_row",
    "stored",
    "target_rows",
    "text",
    "unpack_changes",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DEEP: Final = 5
"""Levels of a result that are written piece by piece: down to one port of one host."""

COLUMNS: Final = (
    "number, scan_id, state, begun, started, ended, request, caller_kind, caller_name, caller_user, schedule, trace_id,"
    " signature, error, hosts_up, ports_open, changes, compared_with, size"
)
"""What `stored` takes, in its order."""


def stamp(at: datetime) -> int:
    """Microseconds since 1970. Raises ValueError for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone; write {at}+00:00")
    return (at - _EPOCH) // _MICROSECOND


def moment(stamp: int) -> datetime:
    """The time in UTC.

    >>> moment(stamp(datetime(2026, 1, 1, tzinfo=UTC))).isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    return _EPOCH + stamp * _MICROSECOND


def text(value: object) -> str | None:
    """A text that a database takes: what UTF-8 cannot hold becomes a question mark.

    >>> text("nightly"), text(chr(0xD800)), text(None)
    ('nightly', '?', None)
    """
    return None if value is None else str(value).encode(errors="replace").decode()


def start_row(start: ScanStart, state: ScanState, owner: str | None) -> dict[str, object]:
    """The columns of a scan that begins."""
    caller = start.caller
    return {
        "scan_id": start.scan_id,
        "state": str(state),
        "begun": stamp(start.begun),
        "owner": owner,
        "request": json.dumps(dict(start.request), default=str),
        "template": text(start.request.get("template")),
        "caller_kind": str(caller.kind),
        "caller_name": text(caller.name),
        "caller_user": text(caller.user),
        "schedule": text(start.schedule),
        "trace_id": start.trace_id,
        "signature": start.signature,
    }


def end_row(end: ScanEnd, ended: datetime, *, size: int) -> dict[str, object]:
    """The columns of a scan that ended, with a result of `size` bytes."""
    return {
        "state": str(end.state),
        "started": None if end.started is None else stamp(end.started),
        "ended": stamp(ended),
        "error": None if end.error is None else json.dumps(dict(end.error), default=str),
        "hosts_up": end.hosts_up,
        "ports_open": end.ports_open,
        "changes": None if end.changes is None else len(end.changes),
        "compared_with": end.compared_with,
        "size": size,
    }


def target_rows(number: int, targets: Iterable[str]) -> Iterator[tuple[int, str | None, str, str]]:
    """The rows of `targets` for what the scan of this number looks at."""
    for target in targets:
        low, high = span_of(address_set(target))
        yield number, text(target.lower()), low, high


def stored(row: Sequence[Any]) -> StoredScan:
    """The scan of a row of `COLUMNS`."""
    (number, scan_id, state, begun, started, ended, request, kind, name, user, schedule, trace_id, *rest) = row
    signature, error, hosts_up, ports_open, changes, compared_with, size = rest
    return StoredScan(
        number=number,
        scan_id=scan_id,
        state=ScanState(state),
        request=json.loads(request),
        caller=Caller(CallerKind(kind), name, user),
        begun=moment(begun),
        started=None if started is None else moment(started),
        ended=None if ended is None else moment(ended),
        schedule=schedule,
        trace_id=trace_id,
        signature=signature,
        error=None if error is None else json.loads(error),
        hosts_up=hosts_up,
        ports_open=ports_open,
        changes=changes,
        compared_with=compared_with,
        size=size,
    )


def pack(document: Mapping[str, Any]) -> bytes:
    """Compressed JSON.

    Written in pieces: one call for a large result would keep every other thread of the process waiting,
    the event loop's included.
    """
    compress = zlib.compressobj()
    packed = [compress.compress(piece.encode()) for piece in _pieces(document, _DEEP)]
    return b"".join((*packed, compress.flush()))


def _pieces(value: Any, depth: int) -> Iterator[str]:
    if depth and _is(value, dict):
        return _joined("{", (_member(name, item, depth - 1) for name, item in value.items()), "}")
    if depth and _is(value, list):
        return _joined("[", (_pieces(item, depth - 1) for item in value), "]")
    return iter((json.dumps(value, separators=(",", ":"), default=str),))


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind)  # apart, since a type checker would take "list" for "list of nobody knows what"


def _joined(opening: str, items: Iterator[Iterator[str]], closing: str) -> Iterator[str]:
    yield opening
    for number, item in enumerate(items):
        if number:
            yield ","
        yield from item
    yield closing


def _member(name: object, value: Any, depth: int) -> Iterator[str]:
    yield f"{json.dumps(str(name))}:"
    yield from _pieces(value, depth)


def pack_changes(changes: Sequence[Change]) -> bytes | None:
    """The changes as compressed JSON; None for none."""
    return zlib.compress(json.dumps([change.to_dict() for change in changes]).encode()) if changes else None


def unpack_changes(packed: bytes | None) -> tuple[Change, ...]:
    """What `pack_changes` packed."""
    return () if packed is None else tuple(map(_change, json.loads(zlib.decompress(packed))))


def _change(fields: dict[str, Any]) -> Change:
    kind = ChangeKind(fields.pop("kind"))
    return Change(kind, **fields)


def conditions(query: Query) -> tuple[str, list[object]]:
    """The WHERE clause of `query` and its values; for a target it needs the SQL function `overlaps`."""
    if not 1 <= query.limit <= 1000:
        raise ValueError(f"limit={query.limit} is not between 1 and 1000; for example limit=50")
    clauses: list[tuple[str, tuple[object, ...]]] = []
    for column, value in (("state", query.state), ("template", query.template), ("schedule", query.schedule)):
        if value is not None:
            clauses.append((f"{column} = ?", (text(value),)))
    if query.caller is not None:
        clauses.append(("? IN (caller_kind, caller_name, caller_user)", (text(query.caller),)))
    if query.since is not None:
        clauses.append(("begun >= ?", (stamp(query.since),)))
    if query.until is not None:
        clauses.append(("begun < ?", (stamp(query.until),)))
    if query.before is not None:
        if not 0 <= query.before < 1 << 63:
            raise ValueError(f"before={query.before} is no number of a scan; give the `next` of an earlier page")
        clauses.append(("number < ?", (query.before,)))
    if query.target is not None:
        clauses.append(_scanned(query.target))
    where = " AND ".join(clause for clause, _ in clauses)
    return f"WHERE {where}" if where else "", [value for _, values in clauses for value in values]


def _scanned(target: str) -> tuple[str, tuple[object, ...]]:
    low, high = span_of(address_set(target))
    if not low:
        return "number IN (SELECT number FROM targets WHERE target = ?)", (text(target.lower()),)
    return "number IN (SELECT number FROM targets WHERE low <= ? AND high >= ? AND overlaps(target))", (
        high,
        low,
    )


def overlap(target: str) -> Callable[[str], bool]:
    """Whether another target has an address of `target`: the SQL function for `conditions`."""
    wanted = address_set(target)

    def overlaps(other: str) -> bool:
        found = address_set(other)
        return wanted is not None and found is not None and wanted.shared(found) > 0

    return overlaps
