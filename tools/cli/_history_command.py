"""`tracefuse history`: scans as a table, one scan in words, and the care of the file."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click
from rich.markup import escape
from rich.table import Table

from .._exit import ExitCode
from ..history._records import Query, ScanState, UnknownScanError
from ..nmap._export_rules import visible
from ._history_session import opened_history
from ._session import command_settings
from ._wide import wide_console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..history._records import StoredScan

__all__ = ["list_scans", "list_transitions", "moment_of", "print_path", "prune_history", "query_of", "show_scan"]

_STYLE: Final = {
    ScanState.COMPLETED: "green",
    ScanState.RUNNING: "cyan",
    ScanState.FAILED: "bold red",
    ScanState.REFUSED: "yellow",
}
_NARROW: Final = 105
"""Columns below which whole ids and years leave no room for what was scanned."""
_SHORT_ID: Final = 8
_AGE: Final = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_of(text: str, now: datetime) -> datetime:
    """The time that `text` means: a date, a time (without a zone it is UTC), or an age before `now`.

    Raises:
        click.BadParameter: it is none of these.

    >>> now = datetime(2026, 3, 8, 12, tzinfo=UTC)
    >>> moment_of("7d", now).isoformat(), moment_of("2026-03-01", now).isoformat()
    ('2026-03-01T12:00:00+00:00', '2026-03-01T00:00:00+00:00')
    """
    try:
        if (age := _AGE.fullmatch(text)) is not None:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        message = f"{text!r} is no date, time or age; for example 2026-03-01, 2026-03-01T12:00+01:00, 7d, 12h or 30m"
        raise click.BadParameter(message) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def query_of(given: Mapping[str, Any], *, limit: int = 50, before: int | None = None) -> Query:
    """The question that the command's options ask; raises click.BadParameter."""
    now = datetime.now(UTC)
    since, until = given.get("since"), given.get("until")
    state = given.get("state")
    return Query(
        state=None if state is None else ScanState(state),
        template=given.get("template"),
        target=given.get("target"),
        caller=given.get("caller"),
        schedule=given.get("schedule"),
        since=None if since is None else moment_of(since, now),
        until=None if until is None else moment_of(until, now),
        limit=limit,
        before=before,
    )


def list_scans(given: Mapping[str, Any], *, limit: int, as_json: bool) -> ExitCode:
    """Print the newest scans that the options ask for. Raises HistoryError."""
    query = query_of(given, limit=limit)
    with opened_history(command_settings()) as history:
        page = history.find(query)
    if as_json:
        click.echo(json.dumps({"scans": [scan.to_dict() for scan in page.scans], "next": page.next}, indent=2))
    elif page.scans:
        _print_table(page.scans)
        if page.next is not None:
            click.echo("there are more: --limit, --since and the other options choose")
    else:
        click.echo("no such scan yet")
    return ExitCode.DONE


def show_scan(prefix: str, *, as_json: bool) -> ExitCode:
    """Print the scan whose id begins with `prefix`. Raises HistoryError, UnknownScanError."""
    with opened_history(command_settings()) as history:
        scan_id = history.resolve(prefix)
        scan, changes = history.get(scan_id), history.changes(scan_id)
    if scan is None:
        raise UnknownScanError(prefix)
    if as_json:
        click.echo(json.dumps({**scan.to_dict(), "changes": [change.to_dict() for change in changes]}, indent=2))
        return ExitCode.DONE
    for name, value in _facts(scan):
        click.echo(f"{name:<10} {visible(value)}")
    for change in changes:
        click.echo(f"{'changed':<10} {visible(str(change))}")
    if scan.size:
        click.echo(f"{'result':<10} tracefuse show {scan_id}")
    return ExitCode.DONE


def list_transitions(*, breaker: str | None, limit: int, as_json: bool) -> ExitCode:
    """Print the last changes of circuit breakers. Raises HistoryError."""
    with opened_history(command_settings()) as history:
        found = history.transitions(breaker=breaker, limit=limit)
    if as_json:
        click.echo(json.dumps({"transitions": [change.to_dict() for change in found]}, indent=2))
        return ExitCode.DONE
    for change in found:
        states = f"{change.from_state:>9} → {change.to_state:<9}"
        click.echo(f"{change.at:%Y-%m-%d %H:%M:%S}  {change.breaker}  {states}  {change.reason}")
    if not found:
        click.echo("no breaker has changed its state yet")
    return ExitCode.DONE


def prune_history(*, as_json: bool) -> ExitCode:
    """Apply the limits of the settings now. Raises HistoryError."""
    with opened_history(command_settings()) as history:
        gone, path, size = history.prune(), history.path, history.size()
    if as_json:
        click.echo(json.dumps({"removed": gone, "path": str(path), "bytes": size}, indent=2))
    else:
        click.echo(f"{gone:,} scan{'s' if gone != 1 else ''} let go of; {path} takes {size:,} bytes")
    return ExitCode.DONE


def print_path(*, as_json: bool) -> ExitCode:
    """Print where the history is."""
    path = str(command_settings().history_file)
    click.echo(json.dumps({"path": path}) if as_json else path)
    return ExitCode.DONE


def _print_table(scans: tuple[StoredScan, ...]) -> None:
    """In a narrow terminal with short ids and dates."""
    console = wide_console()
    console.print(_table(scans, narrow=console.width < _NARROW))


def _table(scans: tuple[StoredScan, ...], *, narrow: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("scan", "begun (UTC)", "state", "caller", "what", "up", "open", "changes", "took"):
        right = column in {"up", "open", "changes", "took"}
        folds = column in {"caller", "what"}
        table.add_column(column, justify="right" if right else "left", no_wrap=not folds, overflow="fold")
    for scan in scans:
        table.add_row(*_cells(scan, narrow=narrow))
    return table


def _cells(scan: StoredScan, *, narrow: bool) -> tuple[str, ...]:
    style = _STYLE.get(scan.state, "magenta")
    numbers = (scan.hosts_up, scan.ports_open, scan.changes)
    return (
        scan.scan_id[:_SHORT_ID] if narrow else scan.scan_id,
        f"{scan.begun:%m-%d %H:%M}" if narrow else f"{scan.begun:%Y-%m-%d %H:%M}",
        f"[{style}]{scan.state}[/]",
        escape(visible(_caller(scan))),
        escape(visible(_asked(scan))),
        *("" if number is None else f"{number:,}" for number in numbers),
        "" if scan.seconds is None else f"{scan.seconds:.1f} s",
    )


def _caller(scan: StoredScan) -> str:
    if scan.schedule is not None:
        return f"schedule {scan.schedule}"
    return " ".join(part for part in (str(scan.caller.kind), scan.caller.user) if part)


def _asked(scan: StoredScan) -> str:
    """What was asked for, in the order of a command line; nothing of it has to be of the right type."""
    request = scan.request
    targets = [request.get("target"), *_several(request.get("targets"))]
    parts = [*map(str, filter(None, targets)), request.get("template"), request.get("extra_args")]
    line = " ".join(str(part) for part in parts if part)
    return line if len(line) <= 60 else f"{line[:57]}..."


def _several(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list) else ()  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _facts(scan: StoredScan) -> list[tuple[str, str]]:
    error = scan.error or {}
    facts = [
        ("scan", scan.scan_id),
        ("state", str(scan.state)),
        ("asked", json.dumps(dict(scan.request))),
        ("caller", " ".join(filter(None, (str(scan.caller.kind), scan.caller.name, scan.caller.user)))),
        ("schedule", scan.schedule or ""),
        ("begun", scan.begun.isoformat(timespec="seconds")),
        ("took", "" if scan.seconds is None else f"{scan.seconds:.2f} s"),
        ("trace", scan.trace_id or ""),
        ("up", "" if scan.hosts_up is None else f"{scan.hosts_up:,}"),
        ("open ports", "" if scan.ports_open is None else f"{scan.ports_open:,}"),
        ("error", str(error.get("message", ""))),
        ("compared", scan.compared_with or ""),
    ]
    return [(name, value) for name, value in facts if value]
