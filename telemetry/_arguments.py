"""What callers hand in is checked here: a wrong value is refused in one short sentence that says what is right."""

from __future__ import annotations

import math
from typing import Any, Final

from ._sanitize import escape_text

__all__ = ["listed", "number", "of_type", "require", "shown"]

_LONGEST: Final = 80


def shown(value: object) -> str:
    """`value` as a message may show it: short, on one line. Never raises.

    >>> shown("a" + chr(10) * 3), shown("x" * 10**6)[-6:], len(shown("x" * 10**6))
    ("'a\\\\n\\\\n\\\\n'", 'xxx...', 83)
    """
    try:
        text = repr(value[:_LONGEST] if isinstance(value, str | bytes) else value)
    except Exception:  # noqa: BLE001 - a value's own __repr__ may raise anything
        return f"<{type(value).__qualname__}>"
    text = text if text.isprintable() else escape_text(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def require(name: str, value: object, fits: bool, expected: str) -> None:
    """Raise ValueError unless `fits`.

    >>> require("count", -1, False, "0 or more")
    Traceback (most recent call last):
    ...
    ValueError: count: -1; expected 0 or more
    """
    if not fits:
        raise ValueError(f"{name}: {shown(value)}; expected {expected}")


def of_type(name: str, value: object, kind: Any, expected: str) -> None:
    """Raise TypeError unless `value` is of the type `kind`; True and False are no numbers.

    >>> of_type("folder", 3, str, "a path")
    Traceback (most recent call last):
    ...
    TypeError: folder is int; expected a path
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is {type(value).__qualname__}; expected {expected}")


def listed(name: str, value: object, kind: Any, expected: str) -> None:
    """Raise TypeError unless `value` is a `kind` of list; a text is none, although it has an order.

    >>> from collections.abc import Iterable
    >>> listed("kinds", "ready", Iterable, "a list of texts")
    Traceback (most recent call last):
    ...
    TypeError: kinds is str; expected a list of texts
    """
    if not isinstance(value, kind) or isinstance(value, str | bytes):
        raise TypeError(f"{name} is {type(value).__qualname__}; expected {expected}")


def number(name: str, value: object, expected: str, *, low: float = -math.inf, high: float = 1e15) -> None:
    """Raise TypeError unless `value` is a number, ValueError unless it is finite and from `low` to `high`.

    >>> number("window", float("nan"), "seconds above 0", low=0.001)
    Traceback (most recent call last):
    ...
    ValueError: window: nan; expected seconds above 0
    """
    of_type(name, value, int | float, expected)
    if not (low <= value <= high) or value == -math.inf:  # type: ignore[operator]
        raise ValueError(f"{name}: {shown(value)}; expected {expected}")
