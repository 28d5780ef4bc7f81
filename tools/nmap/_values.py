"""Grammars of option values: text in, a typed value and its canonical writing out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from ._ports import PortList, parse_ports

__all__ = ["Choice", "Count", "Decimal", "Duration", "Expression", "Grammar", "OptionValue", "Ports", "Seconds"]

_COUNT: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,3})?", re.ASCII)
_DURATION: Final = re.compile(r"((?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,3})?)(ms|s|m|h)?", re.ASCII)
_MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True, order=True)
class Seconds:
    """A duration in whole milliseconds, written as nmap reads it in every version: with its unit.

    >>> str(Seconds(1500)), str(Seconds(30_000))
    ('1500ms', '30s')
    """

    milliseconds: int

    def __str__(self) -> str:
        seconds, rest = divmod(self.milliseconds, 1000)
        return f"{self.milliseconds}ms" if rest else f"{seconds}s"


OptionValue: TypeAlias = int | float | str | Seconds | PortList | None


class Grammar(Protocol):
    """How the value of an option is written."""

    @property
    def example(self) -> str:
        """A value that is accepted."""
        ...

    def parse(self, text: str) -> OptionValue:
        """The typed value; `str()` of it is its canonical writing.

        Raises:
            ValueError: not written so; the message says what would be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number within a range.

    >>> Count(0, 9).parse("5")
    5
    >>> Count(0, 9).parse("10")
    Traceback (most recent call last):
        ...
    ValueError: expected a whole number from 0 to 9
    """

    low: int
    high: int

    @property
    def example(self) -> str:
        """A value that is accepted."""
        return str(min(max(self.low, 5), self.high))

    def parse(self, text: str) -> int:
        """The number."""
        if _COUNT.fullmatch(text) and self.low <= int(text) <= self.high:
            return int(text)
        raise ValueError(f"expected a whole number from {self.low} to {self.high}")


@dataclass(frozen=True, slots=True)
class Decimal:
    """A number with at most three decimals, within a range.

    >>> Decimal(0, 0.999).parse("0.1")
    0.1
    """

    low: float
    high: float

    @property
    def example(self) -> str:
        """A value that is accepted."""
        return "10" if self.high >= 10 else "0.1"

    def parse(self, text: str) -> int | float:
        """The number, an int when it has no fraction."""
        if _DECIMAL.fullmatch(text) and self.low <= float(text) <= self.high:
            value = float(text)
            return int(value) if value.is_integer() else value
        raise ValueError(f"expected a number from {self.low} to {self.high} in decimal")


@dataclass(frozen=True, slots=True)
class Duration:
    """A time: a number and one of ms, s, m, h; seconds without a unit. Limits are in milliseconds.

    >>> str(Duration(1, 3_600_000, typical=30_000).parse("0.5h"))
    '1800s'
    """

    low: int
    high: int
    typical: int

    @property
    def example(self) -> str:
        """A value that is accepted."""
        return str(Seconds(self.typical))

    def parse(self, text: str) -> Seconds:
        """The time."""
        found = _DURATION.fullmatch(text)
        if found:
            milliseconds = round(float(found[1]) * _MILLISECONDS[found[2] or "s"])
            if self.low <= milliseconds <= self.high:
                return Seconds(milliseconds)
        low, high = Seconds(self.low), Seconds(self.high)
        raise ValueError(f"expected a time from {low} to {high}, written as a number and ms, s, m or h")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, each standing for a number.

    >>> Choice((("4", 4), ("aggressive", 4))).parse("Aggressive")
    4
    """

    words: tuple[tuple[str, int], ...]

    @property
    def example(self) -> str:
        """A value that is accepted."""
        return "4"

    def parse(self, text: str) -> int:
        """The number the word stands for."""
        for word, value in self.words:
            if text.lower() == word:
                return value
        raise ValueError(f"expected one of {', '.join(word for word, _ in self.words)}")


@dataclass(frozen=True, slots=True)
class Ports:
    """A port list, with or without protocol prefixes."""

    prefixes: bool = True

    @property
    def example(self) -> str:
        """A value that is accepted."""
        return "1-1024"

    def parse(self, text: str) -> PortList:
        """The list."""
        return parse_ports(text, prefixes=self.prefixes)


@dataclass(frozen=True, slots=True)
class Expression:
    """A script expression; it is only read once the whole request is known."""

    example: str = "default"

    def parse(self, text: str) -> str:
        """The text as it is."""
        return text
