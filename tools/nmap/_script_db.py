"""nmap's script database: which scripts there are and in which categories, read from `script.db`."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ScriptDatabase", "ScriptDatabaseError", "load_script_database"]

_ENTRY: Final = re.compile(
    r'Entry \{ filename = "([A-Za-z0-9][A-Za-z0-9._-]{0,127})\.nse", categories = \{ ((?:"[a-z]{1,32}", ?)*)\} ?\}',
    re.ASCII,
)
_CATEGORY: Final = re.compile(r'"([a-z]+)"', re.ASCII)
_LARGEST: Final = 4_194_304


class ScriptDatabaseError(ValueError):
    """The text is not a script database. Attribute `line` counts from 1, 0 for the whole."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(line, problem)
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"script.db, {where}{self.problem}; `nmap --script-updatedb` writes it anew"


class ScriptDatabase:
    """The scripts of one installed nmap, by name and category. Sets of scripts are bit masks.

    `digest` is a short SHA-256 of the text, to tell in a result which database it was checked against.

    >>> database = ScriptDatabase('Entry { filename = "http-title.nse", categories = { "default", "safe", } }')
    >>> database.names, sorted(database.categories)
    (('http-title',), ['default', 'safe'])
    """

    __slots__ = ("_bits", "_expanded", "categories", "digest", "names")

    def __init__(self, text: str) -> None:
        """Parse the text of a script.db.

        Raises:
            ScriptDatabaseError: it has another form, no entry, or is larger than 4 MiB.
        """
        if len(text) > _LARGEST:
            raise ScriptDatabaseError(0, f"larger than {_LARGEST} characters")
        names: dict[str, int] = {}
        categories: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("--"):
                continue
            found = _ENTRY.fullmatch(line.strip())
            if not found:
                raise ScriptDatabaseError(number, "not an entry of a script database")
            bit = names.setdefault(found[1], 1 << len(names))
            for category in _CATEGORY.findall(found[2]):
                categories[category] = categories.get(category, 0) | bit
        if not names:
            raise ScriptDatabaseError(0, "no entry")
        self.names: tuple[str, ...] = tuple(names)
        self.categories: Mapping[str, int] = categories
        self.digest: str = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._bits = names
        self._expanded = lru_cache(maxsize=256)(self._expand)

    @property
    def all(self) -> int:
        """Every script."""
        return (1 << len(self.names)) - 1

    def named(self, pattern: str) -> int:
        """The scripts whose name matches; `*` stands for any text, and `.nse` at the end is optional."""
        pattern = pattern.removesuffix(".nse")
        return self._expanded(pattern) if "*" in pattern else self._bits.get(pattern, 0)

    def members(self, mask: int) -> tuple[str, ...]:
        """The names in a set, in the database's order."""
        return tuple(name for name, bit in self._bits.items() if bit & mask)

    def _expand(self, pattern: str) -> int:
        # Split at the stars by hand: a regular expression made of many stars can take very long.
        return sum(bit for name, bit in self._bits.items() if _matches(name, pattern))


def _matches(name: str, pattern: str) -> bool:
    first, *middle, last = pattern.split("*")
    if not name.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        found = name.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(name) - at >= len(last) and name.endswith(last)


def load_script_database(path: str | Path) -> ScriptDatabase:
    """Read a script.db from disk, for example /usr/share/nmap/scripts/script.db.

    Raises:
        OSError: it cannot be read.
        ScriptDatabaseError: it is not a script database.
    """
    return ScriptDatabase(Path(path).read_text(encoding="ascii", errors="replace"))
