"""Which tool goes when there are too many: the least recently used, looked for only when one has to go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EvictionOrder"]


class _Used(Protocol):
    @property
    def last_used(self) -> float: ...

    @property
    def active(self) -> int: ...


class EvictionOrder:
    """The order in which tools go. No two are used at the same time.

    Keeping the tools themselves in this order would cost every recording; sorting them costs one in as
    many evictions as there are tools, as long as most are not used in between.

    >>> from types import SimpleNamespace as Tool
    >>> tools = {"a": Tool(last_used=3.0, active=0), "b": Tool(last_used=1.0, active=1)}
    >>> tools["c"] = Tool(last_used=2.0, active=0)
    >>> order = EvictionOrder()
    >>> order.next(tools)
    'c'
    """

    def __init__(self) -> None:
        self._candidates: list[tuple[float, str]] = []

    def next(self, tools: Mapping[str, _Used]) -> str:
        """The least recently used of `tools` that is not running; when all are, the least recently used."""
        found = self._known(tools)
        if found is None:
            self._candidates = sorted(
                ((tool.last_used, name) for name, tool in tools.items() if not tool.active), reverse=True
            )
            found = self._known(tools)
        return found if found is not None else min(tools, key=lambda name: tools[name].last_used)

    def _known(self, tools: Mapping[str, _Used]) -> str | None:
        """The first candidate that was not used since they were sorted; what was used, or made, since comes later."""
        while self._candidates:
            used, name = self._candidates.pop()
            tool = tools.get(name)
            if tool is not None and tool.last_used == used:
                return name
        return None
