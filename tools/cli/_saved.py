"""Results that were kept: in a file, as nmap's own output or as JSON of ours, or in the history under an id."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..history._records import UnknownScanError
from ..nmap import ParseError, Report, parse_nmap_output, report_from_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..history._history import History

__all__ = ["Saved", "read_report", "stored_report"]

_ID: Final = re.compile(r"[0-9a-f]{4,64}")


def read_report(path: str) -> Report:
    """A report from nmap's own output, from a report's JSON, or from what `scan --json` printed.

    Raises:
        ParseError: the file is none of these.
    """
    data = Path(path).read_bytes()
    if not data.lstrip().startswith(b"{"):
        return parse_nmap_output(data)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ParseError(f"{path} is no whole JSON document: {error}") from error
    return report_from_dict(document.get("report", document))


def stored_report(history: History, scan_id: str) -> Report:
    """The report of a scan in the history.

    Raises:
        UnknownScanError: there is no such scan.
        ParseError: it has no result.
    """
    scan = history.get(scan_id)
    if scan is None:
        raise UnknownScanError(scan_id)
    document = history.document(scan_id)
    if document is None:
        raise ParseError(f"scan {scan_id} has no result: it is {scan.state}")
    return report_from_dict(document["report"])


class Saved:
    """Results by name: a file, or the beginning of a scan's id. A file of that name goes first.

    `history` gives the history; it is asked for only when a name is no file's.
    """

    def __init__(self, history: Callable[[], History]) -> None:
        self._history = history

    def report(self, name: str) -> Report:
        """The report that `name` means.

        Raises:
            ParseError: there is no such file and no such scan, or it holds no result.
            HistoryError: the history cannot be read.
        """
        return read_report(name) if Path(name).is_file() else stored_report(self._history(), self.scan_id(name))

    def scan_id(self, name: str) -> str:
        """The whole id of the scan that `name` means; raises as `report`."""
        if not _ID.fullmatch(name):
            raise ParseError(f"there is no file {name!r}, and an id of a scan has 4 to 16 of the characters 0-9a-f")
        try:
            return self._history().resolve(name)
        except UnknownScanError as error:
            raise ParseError(f"there is no file {name!r}, and no scan, or several, whose id begins so") from error

    def before(self, name: str) -> tuple[str, Report]:
        """Id and report of the last scan that can be compared with the scan that `name` means; raises as `report`."""
        scan_id = self.scan_id(name)
        before = self._history().last_comparable(scan_id)
        if before is None:
            raise ParseError(f"no scan before {scan_id} asked the same and was completed; name two to compare")
        return before.scan_id, stored_report(self._history(), before.scan_id)
