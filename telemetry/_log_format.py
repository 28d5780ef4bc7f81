"""One log record as one line: JSON for machines, `time level logger message key=value` for people."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from ._log_context import LOG_CONTEXT, current_log_context
from ._redaction import redactor
from ._sanitize import escape_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ConsoleFormatter", "JsonFormatter", "context_filter"]

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", LOG_CONTEXT}
_MAX_MESSAGE: Final = 16_384


def context_filter(record: logging.LogRecord) -> bool:
    """A filter that lets all pass and notes, in the thread that logs, what the line is about.

    Formatters may run later in another thread (`QueueHandler`), where the context would be another.
    """
    if not hasattr(record, LOG_CONTEXT):
        fields: dict[str, str] = dict(current_log_context())
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            fields["trace_id"] = f"{span.trace_id:032x}"
            fields["span_id"] = f"{span.span_id:016x}"
        setattr(record, LOG_CONTEXT, fields)
    return True


class _Redacting(logging.Formatter):
    def __init__(self, *, redact_targets: bool = False) -> None:
        super().__init__()
        self._redact: Callable[[str, Any], Any] = redactor(targets=redact_targets)

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The context's fields, then those that `extra=` gave."""
        context_filter(record)
        context: dict[str, Any] = dict(getattr(record, LOG_CONTEXT))
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD and key[:1] != "_"}
        return {key: self._redact(key, value) for key, value in (context | extra).items()}

    def text(self, record: logging.LogRecord) -> str:
        """The message, redacted; a broken log call is shown rather than raised."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit their message
            message = f"{record.msg} {record.args!r}"
        return str(self._redact("message", message[:_MAX_MESSAGE]))

    def stack(self, record: logging.LogRecord) -> str:
        """The traceback, redacted; empty without one."""
        if record.exc_info and record.exc_info[0] is not None:
            return str(self._redact("exception", self.formatException(record.exc_info)))
        return ""


class JsonFormatter(_Redacting):
    """One JSON object on one line: timestamp, level, logger, message, then all fields.

    >>> line = JsonFormatter().format(logging.makeLogRecord({"msg": "scan done", "name": "app", "levelname": "INFO"}))
    >>> json.loads(line)["message"], json.loads(line)["level"]
    ('scan done', 'INFO')
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.text(record),
        }
        for key, value in self.fields(record).items():
            line.setdefault(key, value)
        if stack := self.stack(record):
            line["exception"] = stack
        return json.dumps(line, default=repr, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


class ConsoleFormatter(_Redacting):
    """One readable line, a traceback below it. Line ends and control characters are shown as escapes.

    >>> record = logging.makeLogRecord({"msg": "two" + chr(10) + "lines", "name": "app", "levelname": "INFO"})
    >>> ConsoleFormatter().format(record).split(" ", 1)[1]
    'INFO     app: two\\\\nlines'
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        fields = "".join(f" {key}={_quoted(value)}" for key, value in self.fields(record).items())
        line = f"{moment} {record.levelname:8s} {record.name}: {escape_text(self.text(record))}{fields}"
        stack = self.stack(record)
        return f"{line}\n{stack}" if stack else line


def _quoted(value: object) -> str:
    text = escape_text(str(value))
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text
