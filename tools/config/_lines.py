"""On which line of a TOML text each name is set. `tomllib` does not say; it is asked about one statement at a time."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Name", "toml_lines"]

Name: TypeAlias = tuple[str, ...]
"""A name in a file, from the outermost table on."""

_ENDS: Final = ("]", '"""', "'''")
"""One of these is on the last line of every value of several lines."""

_PATIENCE: Final = 20
"""How many times the length of a text may be parsed: one made to be slow is told without some lines."""


def toml_lines(text: str) -> Mapping[Name, int]:
    """The line, counted from 1, on which each name of a valid TOML text is first set.

    A statement that is whole parses by itself, and one that is not does not: the parser itself says where
    a statement ends, so that no second one has to agree with it. What stands in an array of tables has the
    line of the first.

    >>> toml_lines("[policy]\\n# how many\\nmax_addresses = 0\\n")
    {('policy',): 1, ('policy', 'max_addresses'): 3}
    """
    lines: dict[Name, int] = {}
    table: Name = ()
    for number, statement, parsed in _statements(text):
        names = tuple(_names(parsed))
        is_header = statement.lstrip(" \t").startswith("[")
        for name in names:
            lines.setdefault(name if is_header else (*table, *name), number)
        if is_header:
            table = names[-1]
    return lines


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Each statement with its first line and what it says by itself."""
    left, waiting, began = _PATIENCE * (len(text) + 1000), "", 1
    for number, line in enumerate(text.split("\n"), 1):
        if not waiting:
            began = number
        waiting += line + "\n"
        if number > began and not any(end in line for end in _ENDS):
            continue
        left -= len(waiting)
        if left < 0:
            return
        try:
            parsed = tomllib.loads(waiting)
        except tomllib.TOMLDecodeError:
            continue
        yield began, waiting, parsed
        waiting = ""


def _names(value: object) -> Iterator[Name]:
    """Every name in `value`, outer ones first; of several tables in an array those of all."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            yield (key,)
            yield from ((key, *below) for below in _names(inner))
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _names(inner)
