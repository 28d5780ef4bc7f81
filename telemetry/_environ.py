"""Typed reading of environment variables: a good value, or one clear refusal.

As the OpenTelemetry specification asks, a variable that is set to nothing counts as not set.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["ConfigurationError", "Environment"]

# A header or attribute name: printable ASCII without blanks and separators (W3C Baggage, "key").
_KEY = re.compile(r"[!#-'*+.\-0-9A-Z^-z|~]+")
# A header value as `opentelemetry.util.re.parse_env_headers` takes it; what does not match it drops silently.
_HEADER_VALUE = re.compile(r"[ !#-+\--:<-\[\]-~]*")
_PAIRS = "key=value pairs separated by commas, other characters percent-encoded"
_LONGEST_SHOWN = 80


class ConfigurationError(ValueError):
    """An environment variable has a value that cannot be used.

    `variable` is its name, `value` what was found (`***` where it may hold a secret), `expected` what
    would be right, `example` one right value.

    >>> print(ConfigurationError("OTEL_TRACES_SAMPLER_ARG", "2", "a number from 0 to 1", "0.25"))
    OTEL_TRACES_SAMPLER_ARG='2' cannot be used: expected a number from 0 to 1, for example OTEL_TRACES_SAMPLER_ARG=0.25
    """

    def __init__(self, variable: str, value: str, expected: str, example: str) -> None:
        super().__init__(variable, value, expected, example)
        self.variable = variable
        self.value = value
        self.expected = expected
        self.example = example

    def __str__(self) -> str:
        shown = self.value if len(self.value) <= _LONGEST_SHOWN else self.value[:_LONGEST_SHOWN] + "..."
        return (
            f"{self.variable}={shown!r} cannot be used: expected {self.expected}, "
            f"for example {self.variable}={self.example}"
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """One mapping of variables. Every method takes names in order of precedence: the first that is set counts.

    >>> Environment({"A": " ", "B": "7"}).number("A", "B", default=1.0)
    7.0
    """

    values: Mapping[str, str]

    def find(self, *names: str) -> tuple[str, str] | None:
        """The first of `names` that is set, with its value stripped; None when none is."""
        for name in names:
            value = self.values.get(name, "").strip()
            if value:
                return name, value
        return None

    def text(self, *names: str, default: str = "") -> str:
        """Any text."""
        found = self.find(*names)
        return default if found is None else found[1]

    def choice(self, *names: str, allowed: Collection[str], default: str) -> str:
        """One of `allowed`, in any case."""
        found = self.find(*names)
        if found is None:
            return default
        _require(found[1].lower() in allowed, found, _one_of(allowed), default or min(allowed))
        return found[1].lower()

    def choices(self, name: str, *, allowed: Collection[str], default: tuple[str, ...]) -> tuple[str, ...]:
        """A list separated by commas, of values out of `allowed`; `none` stands alone and means nothing."""
        found = self.find(name)
        if found is None:
            return default
        chosen = tuple(dict.fromkeys(part.strip().lower() for part in found[1].split(",") if part.strip()))
        example = ",".join(default) or min(allowed)
        _require(bool(chosen) and set(chosen) <= {*allowed, "none"}, found, _one_of({*allowed, "none"}), example)
        _require("none" not in chosen or len(chosen) == 1, found, "`none` alone, or names without it", example)
        return () if chosen == ("none",) else chosen

    def flag(self, *names: str, default: bool) -> bool:
        """`true` or `false`."""
        return self.choice(*names, allowed=("false", "true"), default=str(default).lower()) == "true"

    def number(
        self, *names: str, default: float, low: float = 0.0, high: float = math.inf, above: bool = False, unit: str = ""
    ) -> float:
        """A finite number from `low` (or, with `above`, greater than `low`) to `high`."""
        found = self.find(*names)
        if found is None:
            return default
        try:
            value = float(found[1])
        except ValueError:
            value = math.nan
        fits = math.isfinite(value) and (value > low if above else value >= low) and value <= high
        _require(fits, found, _range("a number", unit, low, high, above=above), f"{default:g}")
        return value

    def integer(self, name: str, *, default: int, low: int = 0, high: int | None = None, unit: str = "") -> int:
        """A whole number from `low` to `high`."""
        found = self.find(name)
        if found is None:
            return default
        digits = found[1].isascii() and found[1].isdecimal() and len(found[1]) <= 18
        value = int(found[1]) if digits else low - 1
        fits = value >= low and (high is None or value <= high)
        top = math.inf if high is None else high
        _require(fits, found, _range("a whole number", unit, low, top, above=False), str(default))
        return value

    def pairs(self, name: str, *, example: str) -> dict[str, str]:
        """`key=value` pairs separated by commas, values percent-encoded (W3C Baggage)."""
        found = self.find(name)
        pairs = _pairs(found[1]) if found else {}
        for key, value in pairs.items() if found else ():
            good = _KEY.fullmatch(key) and value is not None and value.isprintable()
            _require(bool(good), found or ("", ""), _PAIRS, example)
        return {key: unquote(value or "") for key, value in pairs.items()}

    def check_headers(self, name: str) -> None:
        """Headers: pairs whose values may be secret, so that a refusal does not repeat them."""
        found = self.find(name)
        for key, value in _pairs(found[1]).items() if found else ():
            good = _KEY.fullmatch(key) and value is not None and _HEADER_VALUE.fullmatch(value)
            _require(bool(good), (name, "***"), _PAIRS, "authorization=Bearer%20TOKEN")


def _pairs(text: str) -> dict[str, str | None]:
    parts = (part.partition("=") for part in text.split(",") if part.strip())
    return {key.strip(): value.strip() if equals else None for key, equals, value in parts}


def _require(good: bool, found: tuple[str, str], expected: str, example: str) -> None:
    if not good:
        raise ConfigurationError(found[0], found[1], expected, example)


def _one_of(allowed: Collection[str]) -> str:
    return f"one of {', '.join(sorted(allowed))}"


def _range(what: str, unit: str, low: float, high: float, *, above: bool) -> str:
    start = f"{what}{f' of {unit}' if unit else ''}"
    if high != math.inf:
        return f"{start} from {low:g} to {high:g}"
    return f"{start} greater than {low:g}" if above else f"{start}, {low:g} or more"
