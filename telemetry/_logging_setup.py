"""Structured logging in one call: standard `logging` below, context and trace ids on every line."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Final, Literal, Self

from ._arguments import shown
from ._environ import ConfigurationError
from ._log_format import ConsoleFormatter, JsonFormatter, context_filter
from ._log_rate import RateLimitFilter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

__all__ = ["LoggingSetup", "configure_logging"]

_LEVELS: Final = ("CRITICAL", "DEBUG", "ERROR", "INFO", "WARNING")
_FORMATS: Final = ("console", "json")


class LoggingSetup:
    """What `configure_logging` did, and how to undo it: `close`, or use it as a context manager."""

    def __init__(self, logger: logging.Logger, handlers: list[logging.Handler]) -> None:
        self.logger = logger
        self.handlers = handlers
        self._level = logger.level

    def close(self) -> None:
        """Take the handlers off and give the logger its old level back."""
        for handler in self.handlers:
            self.logger.removeHandler(handler)
        self.logger.setLevel(self._level)
        self.handlers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def configure_logging(
    environ: Mapping[str, str] = os.environ,
    *,
    level: str | None = None,
    style: Literal["console", "json"] | None = None,
    stream: TextIO | None = None,
    redact_targets: bool = False,
    rate_limit: RateLimitFilter | None = None,
    otel_handler: logging.Handler | None = None,
    logger_name: str = "",
) -> LoggingSetup:
    """Log to `stream`, standard error by default, as JSON or for reading, with context and redaction.

    `level` and `style` come from LOG_LEVEL (INFO) and LOG_FORMAT ("json" where standard error is no
    terminal) unless given. Every line carries the fields of `log_context` and the ids of the current
    span. `rate_limit` is on by default: ten lines of a kind a minute, so that an outage does not flood.
    `otel_handler`, `Telemetry.log_handler`, sends the same records over OTLP, not rate-limited twice.
    The handlers go on the logger `logger_name`, the root logger by default.

    Raises ConfigurationError when a level or a format is none.

    >>> import io
    >>> out = io.StringIO()
    >>> with configure_logging({}, style="json", stream=out, logger_name="doc"):
    ...     logging.getLogger("doc").warning("password=hunter2")
    >>> '"message": "password=[redacted]"' in out.getvalue()
    True
    """
    target = stream if stream is not None else sys.stderr
    chosen = _choice(environ, "LOG_LEVEL", level, _LEVELS, "INFO", upper=True)
    default = "console" if target.isatty() else "json"
    formatter = {"console": ConsoleFormatter, "json": JsonFormatter}[
        _choice(environ, "LOG_FORMAT", style, _FORMATS, default)
    ](redact_targets=redact_targets)
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    limit = rate_limit if rate_limit is not None else RateLimitFilter()
    handlers: list[logging.Handler] = [handler, *([otel_handler] if otel_handler is not None else [])]
    logger = logging.getLogger(logger_name or None)
    setup = LoggingSetup(logger, handlers)
    handler.addFilter(limit)
    handler.addFilter(context_filter)
    for one in handlers:
        logger.addHandler(one)
    logger.setLevel(chosen)
    return setup


def _choice(
    environ: Mapping[str, str], variable: str, given: str | None, allowed: tuple[str, ...], default: str,
    *, upper: bool = False,
) -> str:  # fmt: skip
    value = given if given is not None else environ.get(variable, "").strip() or default
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(variable, shown(value), f"one of {', '.join(allowed)}", default)
    found = value.upper() if upper else value.lower()
    if found not in allowed:
        raise ConfigurationError(variable, value, f"one of {', '.join(allowed)}", default)
    return found
