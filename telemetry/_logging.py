"""Standard `logging` records handed to OpenTelemetry, so that logs travel with the trace they belong to.

The SDK's own LoggingHandler is deprecated in favour of a package of its own; this does the part that
is needed: level, text, code location and exception, under the logger's name as scope.
"""

from __future__ import annotations

import logging
from time import time_ns
from typing import TYPE_CHECKING

from opentelemetry import context as context_api
from opentelemetry._logs import LogRecord, SeverityNumber

from ._log_context import context_fields
from ._redaction import redactor

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.util.types import AnyValue

__all__ = ["OtelLogHandler", "severity"]

_TEXTS = {"WARNING": "WARN", "CRITICAL": "FATAL"}


def severity(level: int) -> SeverityNumber:
    """The OpenTelemetry severity of a `logging` level: DEBUG 5, INFO 9, WARN 13, ERROR 17, FATAL 21.

    Levels in between take the numbers in between, up to the last of their range (specification,
    "Logs Data Model", SeverityNumber).

    >>> severity(logging.INFO), severity(35), severity(logging.CRITICAL + 5)
    (<SeverityNumber.INFO: 9>, <SeverityNumber.WARN4: 16>, <SeverityNumber.FATAL4: 24>)
    """
    if level < logging.DEBUG:
        return SeverityNumber.TRACE if level > logging.NOTSET else SeverityNumber.UNSPECIFIED
    step, rest = divmod(min(level, 59), 10)
    return SeverityNumber(1 + 4 * step + min(rest, 3))


class OtelLogHandler(logging.Handler):
    """A `logging.Handler` that emits every record through an OpenTelemetry LoggerProvider.

    A record carries the fields of `log_context`, and secrets are taken out of all texts, as in the lines
    of `configure_logging`; with `redact_targets` also IP addresses.

    What OpenTelemetry itself logs is left out: a failing export would otherwise make the records that
    it then fails to export.

    >>> from opentelemetry._logs import NoOpLoggerProvider
    >>> OtelLogHandler(NoOpLoggerProvider()).level
    0
    """

    def __init__(self, provider: LoggerProvider, level: int = logging.NOTSET, *, redact_targets: bool = False) -> None:
        super().__init__(level)
        self._provider = provider
        self._redact = redactor(targets=redact_targets)
        self.addFilter(lambda record: not record.name.startswith("opentelemetry"))

    def emit(self, record: logging.LogRecord) -> None:
        """Hand `record` over. Problems go to `logging`'s own error handling, as in every handler."""
        try:
            self._provider.get_logger(record.name).emit(
                LogRecord(
                    timestamp=int(record.created * 1e9),
                    observed_timestamp=time_ns(),
                    context=context_api.get_current(),
                    severity_number=severity(record.levelno),
                    severity_text=_TEXTS.get(record.levelname, record.levelname),
                    body=self._redact("body", record.getMessage()),
                    attributes={key: self._redact(key, value) for key, value in _attributes(record).items()},
                )
            )
        except Exception:  # noqa: BLE001 - whatever goes wrong, `logging` has one place for it
            self.handleError(record)


def _attributes(record: logging.LogRecord) -> dict[str, AnyValue]:
    attributes: dict[str, AnyValue] = {
        **context_fields(record),
        "code.file.path": record.pathname,
        "code.function.name": record.funcName or "",
        "code.line.number": record.lineno,
    }
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = record.exc_info[0].__qualname__
        attributes["exception.message"] = str(record.exc_info[1])
        attributes["exception.stacktrace"] = logging.Formatter().formatException(record.exc_info)
    return attributes
