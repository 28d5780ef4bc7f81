"""Who is told of a run while it goes on, and may hold it up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._queue import Queued

__all__ = ["Callback", "Listener", "call_safely"]

_log = logging.getLogger(__name__)

EventT = TypeVar("EventT")
EventT_contra = TypeVar("EventT_contra", contravariant=True)


class Listener(Protocol[EventT_contra]):
    """Is told of everything, in order, in the event loop's thread."""

    def queued(self, queued: Queued, /) -> None:
        """The request has to wait."""
        ...

    def event(self, event: EventT_contra, /) -> None:
        """Something happened in the tool."""
        ...

    async def ready(self) -> None:
        """Return when more can be taken; until then the tool is held up."""
        ...


class Callback(Generic[EventT]):
    """A listener that calls a function. A function that raises is logged and changes nothing."""

    def __init__(self, function: Callable[[EventT], None] | None) -> None:
        self._function = function

    def queued(self, queued: Queued, /) -> None:
        """Say nothing: the function is told of the tool's events."""
        del queued

    def event(self, event: EventT, /) -> None:
        """Call the function."""
        call_safely(self._function, event)

    async def ready(self) -> None:
        """At once."""


def call_safely(function: Callable[[EventT], None] | None, event: EventT) -> None:
    """Call `function`, if there is one; what it raises is logged."""
    if function is None:
        return
    try:
        function(event)
    except Exception:  # noqa: BLE001 - a caller's display must not end the scan
        _log.exception("a callback of the caller failed; the scan goes on")
