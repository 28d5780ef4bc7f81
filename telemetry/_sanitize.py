"""What is recorded is repaired first: values, names and error types that cannot be recorded as they are."""

from __future__ import annotations

import builtins
import functools
import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [  # noqa: RUF022 - in Python's own order
    "METRIC_ERROR_TYPES",
    "Repairs",
    "TOOL_ERROR_TYPES",
    "bounded_error_type",
    "clean_name",
    "default_repairs",
    "escape_text",
    "is_success",
    "repair",
    "sanitize_metric_value",
    "text_of",
]

_log = logging.getLogger(__name__)

TOOL_ERROR_TYPES: Final = frozenset(
    {
        *("timeout", "not_found", "validation_error", "execution_error", "resource_exhausted"),
        *("circuit_breaker_open", "cancelled", "unknown"),
    }
)
"""The values that `error.type` takes on tool metrics, besides `none` and `other`."""

_BUILT_IN_ERRORS: Final = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)
)
METRIC_ERROR_TYPES: Final = TOOL_ERROR_TYPES | _BUILT_IN_ERRORS
"""The values that `error.type` keeps on tool metrics: the known error types and Python's own exceptions."""

_MAX_NAME: Final = 128
_EVENTS: Final[Mapping[str, str]] = {
    "null": "metrics.null_value",
    "invalid": "metrics.invalid_value",
    "nan": "metrics.nan_value",
    "infinite": "metrics.infinite_value",
    "negative": "metrics.negative_value",
    "name": "metrics.invalid_name",
}


def repair(value: object) -> tuple[float, str | None]:
    """The number to record for `value`, and why it is not `value` itself. Never raises.

    None, what is no number, NaN and infinities become 0.0; a negative number its absolute value. Numbers
    in text are read.

    >>> repair("2.5"), repair(float("nan")), repair(-3), repair(10**400)
    ((2.5, None), (0.0, 'nan'), (3.0, 'negative'), (0.0, 'infinite'))
    """
    if value is None:
        return 0.0, "null"
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        return 0.0, "infinite"
    except Exception:  # noqa: BLE001 - a value's own __float__ may raise anything
        return 0.0, "invalid"
    if math.isnan(number):
        return 0.0, "nan"
    if math.isinf(number):
        return 0.0, "infinite"
    return (-number, "negative") if number < 0 else (number, None)


class Repairs:
    """Repairs values, counts the repairs by reason, and logs at most one line a minute for each reason.

    >>> repairs = Repairs()
    >>> repairs.value(float("inf")), repairs.counts()
    (0.0, {'infinite': 1})
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, log_interval: float = 60.0) -> None:
        self._clock = clock
        self._log_interval = log_interval
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._told: dict[str, float] = {}

    def value(self, value: object, name: str = "value") -> float:
        """The number to record for `value`; `name` says in the log which value it was."""
        number, reason = repair(value)
        if reason is not None:
            self.note(reason, name)
        return number

    def note(self, reason: str, name: str) -> None:
        """Count one repair."""
        with self._lock:
            self._counts[reason] = self._counts.get(reason, 0) + 1
            now = self._clock()
            due = now - self._told.get(reason, -math.inf) >= self._log_interval
            if due:
                self._told[reason] = now
        if due:
            _log.warning("%s name=%r count=%d", _EVENTS.get(reason, "metrics.repaired"), str(name)[:_MAX_NAME],
                         self._counts[reason])  # fmt: skip

    def counts(self) -> dict[str, int]:
        """How many values were repaired, by reason."""
        with self._lock:
            return dict(self._counts)


@functools.lru_cache(maxsize=1)
def default_repairs() -> Repairs:
    """The tally behind `sanitize_metric_value` and the metrics manager."""
    return Repairs()


def sanitize_metric_value(value: object, name: str = "value") -> float:
    """The finite, non-negative number to record for `value`. Never raises.

    None, text that is no number, NaN and infinities give 0.0, a negative number its absolute value. Each
    repair is counted by reason in `tracefuse.metrics.repaired` and logged at most once a minute per reason.

    >>> sanitize_metric_value("1.5"), sanitize_metric_value(None), sanitize_metric_value(-2)
    (1.5, 0.0, 2.0)
    """
    return default_repairs().value(value, name)


def clean_name(name: object) -> str | None:
    """A tool's name as it is recorded; None for what is no text.

    Control characters and lone surrogates are written as escapes, so that a name can forge no log line
    and break no exposition; more than 128 characters are cut.

    >>> clean_name("nmap"), clean_name("a\\nb"), clean_name(None), len(clean_name("x" * 10**6))
    ('nmap', 'a\\\\nb', None, 128)
    """
    if not isinstance(name, str):
        return None
    cut = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
    if cut.isprintable():
        return cut or "unnamed"
    return escape_text(cut)[:_MAX_NAME]


def is_success(value: object) -> bool:
    """Whether `value` means success: a boolean as it is, of texts "true", "1", "yes", "ok" and "success".

    >>> is_success(True), is_success("false"), is_success("Success")
    (True, False, True)
    """
    if isinstance(value, str):
        return value.strip().lower() in {"true", "1", "yes", "ok", "success"}
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 - a value's own __bool__ may raise anything
        return False


def bounded_error_type(error_type: object, known: frozenset[str] = METRIC_ERROR_TYPES) -> str:
    """`error_type` when it is one of `known`, "none" when there is none, else "other".

    >>> bounded_error_type("timeout"), bounded_error_type(None), bounded_error_type("host 10.0.0.1 is down")
    ('timeout', 'none', 'other')
    """
    if error_type is None:
        return "none"
    return error_type if type(error_type) is str and error_type in known else "other"


def text_of(value: object, limit: int = 128) -> str:
    """`value` as printable text of at most `limit` characters. Never raises.

    >>> print(text_of("line" + chr(10) + "break"), len(text_of("x" * 10**6)))
    line\\nbreak 128
    """
    try:
        text = str(value)[:limit]
    except Exception:  # noqa: BLE001 - a value's own __str__ may raise anything
        return f"<{type(value).__qualname__}>"
    return text if text.isprintable() else escape_text(text)[:limit]


def escape_text(text: str) -> str:
    """`text` with control characters and lone surrogates as escapes, so that it stays on its line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
