"""What a scan found that the one before did not: compared, counted, told in telemetry."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracefuse.telemetry import Attribute, Event, ScanInstruments, SeverityNumber, emit_event, log_event

from ..nmap import ParseError, diff, report_from_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util.types import AttributeValue

    from tracefuse.telemetry import Instrumentation

    from ..nmap import Change, Report
    from ._history import History

__all__ = ["ChangeTeller", "Comparison", "compare"]

_log = logging.getLogger(__name__)

_TOOL: Final = "nmap"
_ON_SPAN: Final = 10
"""Changes on the scan's span, which keeps 128 events; each is a log record as well."""
_TOLD: Final = 1_000
"""Changes of one scan that are told one by one; all are counted and stored."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The changes since the scan `scan_id`."""

    scan_id: str
    changes: tuple[Change, ...]


def compare(history: History, scan_id: str, report: Report) -> Comparison | None:
    """Compare `report`, the result of the scan `scan_id`, with the last comparable one; None without one.

    Raises:
        HistoryError: the history cannot be read.
    """
    before = history.last_comparable(scan_id)
    document = None if before is None else history.document(before.scan_id)
    if before is None or document is None:
        return None
    try:
        old = report_from_dict(document["report"])
    except (ParseError, KeyError) as error:
        _log.warning("scan %s was not compared: the result of %s cannot be read: %s", scan_id, before.scan_id, error)
        return None
    return Comparison(before.scan_id, diff(old, report).changes)


class ChangeTeller:
    """Tells changes as events and counts them by kind; never raises into the scan.

    `redacts` says whether addresses are left out.
    """

    def __init__(self, instrumentation: Instrumentation, *, redacts: Callable[[], bool]) -> None:
        self._logger = instrumentation.logger
        self._instruments = ScanInstruments(instrumentation)
        self._redacts = redacts

    def tell(self, scan_id: str, compared: Comparison) -> None:
        """Tell the changes to the scan `scan_id` on the current span and in the log."""
        changes = compared.changes
        kinds = Counter(str(change.kind) for change in changes)
        for kind, count in kinds.items():
            self._instruments.changes(_TOOL, kind, count)
        if changes:
            counted = ", ".join(f"{kind}={count}" for kind, count in sorted(kinds.items()))
            _log.info("scan.changed scan=%s since=%s %s", scan_id, compared.scan_id, counted)
        for number, change in enumerate(changes[:_TOLD]):
            emit = emit_event if number < _ON_SPAN else log_event
            emit(self._logger, Event.SCAN_CHANGE, self._attributes(change), severity=SeverityNumber.WARN)

    def _attributes(self, change: Change) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {Attribute.KIND: str(change.kind)}
        if change.port is not None:
            attributes[Attribute.PORT] = f"{change.port}/{change.protocol}"
        if not self._redacts():
            attributes[Attribute.ADDRESS] = change.host
        return attributes
