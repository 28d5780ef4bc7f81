"""`tracefuse history export`: scans with their results for other tools, one after the other, never all in memory."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click
from rich.console import Console
from rich.progress import Progress

from .._exit import ExitCode
from ..nmap import report_from_dict, report_to_csv, report_to_xml
from ._history_command import query_of
from ._history_session import opened_history
from ._saved import stored_report
from ._session import command_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from ..history._history import History
    from ..history._records import StoredScan

__all__ = ["EXPORT_SCHEMA", "export_scans"]

EXPORT_SCHEMA: Final = "tracefuse.history/1"
_PAGE: Final = 100
"""Scans that are asked for at a time; no reader holds the file longer than that takes."""


def export_scans(prefix: str | None, given: Mapping[str, Any], *, form: str, output: str | None) -> ExitCode:
    """Write the scan whose id begins with `prefix`, else all that the options ask for.

    A file at `output` is replaced when everything is written, or stays as it was.

    Raises:
        HistoryError, UnknownScanError: the history cannot be read, or has no such scan.
        ParseError: the one scan has no result, for CSV and XML.
    """
    if form == "xml" and prefix is None:
        raise click.UsageError("XML holds one scan: name it, or choose --format json or csv")
    with opened_history(command_settings()) as history, _destination(output) as file:
        if form == "xml":
            file.write(report_to_xml(stored_report(history, history.resolve(prefix or ""))))
            return ExitCode.DONE
        write = {"json": _write_json, "csv": _write_csv}[form]
        if prefix is None:
            _write_many(history, given, write, file)
            return ExitCode.DONE
        scan = history.get(history.resolve(prefix))
        write(history, [] if scan is None else [scan], file)
    return ExitCode.DONE


def _write_many(
    history: History,
    given: Mapping[str, Any],
    write: Callable[[History, Iterable[StoredScan], TextIO], None],
    file: TextIO,
) -> None:
    query = query_of(given)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("exporting", total=history.count(query))

        def counted() -> Iterator[StoredScan]:
            for scan in _pages(history, given):
                yield scan
                progress.advance(task)

        write(history, counted(), file)


def _pages(history: History, given: Mapping[str, Any]) -> Iterator[StoredScan]:
    before: int | None = None
    while True:
        page = history.find(query_of(given, limit=_PAGE, before=before))
        yield from page.scans
        before = page.next
        if before is None:
            return


def _write_json(history: History, scans: Iterable[StoredScan], file: TextIO) -> None:
    file.write(f'{{"schema": "{EXPORT_SCHEMA}", "scans": [')
    between = "\n"
    for scan in scans:
        changes = [change.to_dict() for change in history.changes(scan.scan_id)]
        entry = {**scan.to_dict(), "changes": changes, "result": history.document(scan.scan_id)}
        file.write(between + json.dumps(entry))
        between = ",\n"
    file.write("\n]}\n")


def _write_csv(history: History, scans: Iterable[StoredScan], file: TextIO) -> None:
    """The rows of each report, behind the id and the time of its scan; scans without a result have none."""
    writer = csv.writer(file)
    heading: list[str] | None = None
    for scan in scans:
        document = history.document(scan.scan_id)
        if document is None:
            continue
        first, *rows = csv.reader(io.StringIO(report_to_csv(report_from_dict(document["report"]))))
        if heading is None:
            heading = first
            writer.writerow(["scan_id", "begun", *heading])
        writer.writerows([scan.scan_id, scan.begun.isoformat(), *row] for row in rows)


@contextmanager
def _destination(output: str | None) -> Generator[TextIO]:
    """Standard output, or a file that appears whole."""
    if output is None:
        yield sys.stdout
        return
    target = Path(output)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise click.FileError(output, error.strerror) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
