"""Errors of reading scan results.

* ParseError
  * NotNmapError          something else than nmap's output, or nothing at all
  * MalformedXmlError     not well-formed, or a value that cannot be
  * EntityRefusedError    the document declares or uses entities
  * LimitExceededError    larger than it may be
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._report import Report

__all__ = ["EntityRefusedError", "LimitExceededError", "MalformedXmlError", "NotNmapError", "ParseError"]


class ParseError(ValueError):
    """A scan result could not be read to its end.

    `partial` holds what was read before, when the one who raises keeps hosts (`parse_nmap_output`,
    `ReportParser.close`); it is None otherwise.
    """

    partial: Report | None = None

    def __init__(self, message: str, *details: object) -> None:
        super().__init__(message, *details)
        self.message = message

    def __str__(self) -> str:
        return self.message


class NotNmapError(ParseError):
    """The text is not an nmap result; `found` is its root element, or None when there is no XML."""

    def __init__(self, message: str, found: str | None = None) -> None:
        super().__init__(message, found)
        self.found = found


class MalformedXmlError(ParseError):
    """The text is not well-formed, or holds an impossible value; `line` (from 1) and `column` (from 0) say where."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message, line, column)
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return self.message if self.line is None else f"{self.message} (line {self.line}, column {self.column})"


class EntityRefusedError(ParseError):
    """The document declares or uses an entity of its own; `entity` is its name.

    nmap never does, and entities are how a small file becomes a large one or reads another file.
    """

    def __init__(self, message: str, entity: str | None = None) -> None:
        super().__init__(message, entity)
        self.entity = entity


class LimitExceededError(ParseError):
    """The document is larger than `Limits` allows: `limit` names the field, `maximum` is its value."""

    def __init__(self, message: str, limit: str = "", maximum: int = 0) -> None:
        super().__init__(message, limit, maximum)
        self.limit = limit
        self.maximum = maximum
