"""Which tool goes when there are too many: the least recently used, looked for only when one has to go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EvictionOrder"]


class _Used(Protocol):
    @property
    def used(self) -> int: ...

    @property
    def active(self) -> int: ...


class EvictionOrder:
    """The order in which tools go. `used` is a number that rises with each use of any tool.

    Keeping the tools themselves in this order would cost every recording; sorting them costs one in as
    many evictions as there are tools, as long as most are not used in between.

    >>> from types import SimpleNamespace as Tool
    >>> tools = {"a": Tool(used=3, active=0), "b": Tool(used=1, active=1), "c": Tool(used=2, active=0)}
    >>> order = EvictionOrder()
    >>> order.next(tools)
    'c'
    """

    def __init__(self) -> None:
        self._candidates: list[tuple[int, str]] = []

    def next(self, tools: Mapping[str, _Used]) -> str:
        """The least recently used of `tools` that is not running; when all are, the least recently used."""
        found = self._known(tools)
        if found is None:
            self._candidates = sorted(
                ((tool.used, name) for name, tool in tools.items() if not tool.active), reverse=True
            )
            found = self._known(tools)
        return found if found is not None else min(tools, key=lambda name: tools[name].used)

    def _known(self, tools: Mapping[str, _Used]) -> str | None:
        """The first candidate that was not used since they were sorted; what was used, or made, since comes later."""
        while self._candidates:
            used, name = self._candidates.pop()
            tool = tools.get(name)
            if tool is not None and tool.used == used:
                return name
        return None
